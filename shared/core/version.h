#ifndef SLUICE_CORE_VERSION_H
#define SLUICE_CORE_VERSION_H

/* The program's version as the build found it (a git tag), at most 63 characters. */
const char *version_text(void);

#endif
