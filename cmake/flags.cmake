# One interface target with every compile and link flag of the project.
add_library(flags INTERFACE)
target_compile_definitions(flags INTERFACE _GNU_SOURCE)
target_compile_options(flags INTERFACE
  -Wall -Wextra -Wshadow -Wvla -Wundef -Wformat=2 -Wwrite-strings -Wpointer-arith -Wcast-qual
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wredundant-decls
  -Wimplicit-fallthrough -Wno-unused-parameter
  -fno-common -fvisibility=hidden -fno-omit-frame-pointer
  $<$<C_COMPILER_ID:GNU>:-Wlogical-op -Wduplicated-cond -Wduplicated-branches -Walloc-zero>
  $<$<C_COMPILER_ID:Clang>:-Wshorten-64-to-32 -Wno-gnu-statement-expression>
  $<$<BOOL:${WERROR}>:-Werror>)

if(SLUICE_SANITIZE STREQUAL "address")
  target_compile_options(flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all)
  target_link_options(flags INTERFACE -fsanitize=address,undefined)
elseif(SLUICE_SANITIZE STREQUAL "thread")
  target_compile_options(flags INTERFACE -fsanitize=thread)
  target_link_options(flags INTERFACE -fsanitize=thread)
else()
  target_compile_options(flags INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection
    -fcf-protection $<$<C_COMPILER_ID:GNU>:-ftrivial-auto-var-init=zero>)
  target_link_options(flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
if(SLUICE_COVERAGE)
  target_compile_options(flags INTERFACE -fprofile-instr-generate -fcoverage-mapping)
  target_link_options(flags INTERFACE -fprofile-instr-generate)
endif()
if(SLUICE_FUZZ AND NOT SLUICE_COVERAGE)
  # The libraries are instrumented too: coverage of the harness alone finds nothing.
  target_compile_options(flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
