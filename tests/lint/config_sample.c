#include "core/config.h"

#include <unistd.h>

/* Prints conf/sluice.yaml as the table of settings has it. */
int main(void)
{
    return config_print_sample(STDOUT_FILENO) == 0 ? 0 : 1;
}
