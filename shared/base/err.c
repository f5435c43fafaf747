#include "base/err.h"

const char *err_text(int e)
{
    switch (e) {
#define X(name, value, text)                                                                       \
    case name:                                                                                     \
        return text;
        ERR_LIST(X)
#undef X
    case 0:
        return "no error";
    }
    return "unknown error";
}
