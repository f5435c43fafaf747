#ifndef SLUICE_BASE_MUST_H
#define SLUICE_BASE_MUST_H

/*
 * Our own broken promises.  Always compiled in: NDEBUG does not remove them.
 * Anything a peer can cause is an enum err instead.
 */

/* Prints the message and a backtrace to standard error, or gives them to the sink, then aborts. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define must(cond)                                                                                 \
    ((cond) ? (void)0 : panic("%s:%d: %s: must(%s)", __FILE__, __LINE__, __func__, #cond))

/* Where a panic goes instead: text without a line feed, and return addresses, the innermost first.
 * It must not panic itself.  Before any thread starts; NULL: standard error, as it is. */
void panic_set_sink(void (*sink)(const char *text, void *const *frames, int count));

#endif
