#ifndef SLUICE_TESTS_UNIT_TEST_H
#define SLUICE_TESTS_UNIT_TEST_H

/* cmocka 1.1.5 wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#endif
