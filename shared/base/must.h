#ifndef SLUICE_BASE_MUST_H
#define SLUICE_BASE_MUST_H

/*
 * Our own broken promises.  Always compiled in: NDEBUG does not remove them.
 * Anything a peer can cause is an enum err instead.
 */

/* Prints the message and a backtrace to standard error, then aborts. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define must(cond)                                                                                 \
    ((cond) ? (void)0 : panic("%s:%d: %s: must(%s)", __FILE__, __LINE__, __func__, #cond))

#endif
