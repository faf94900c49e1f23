// SPDX-License-Identifier: MIT
// What the address sanitizer's runtime asks each sanitized program for before it reads ASAN_OPTIONS, which comes
// on top of it.
__attribute__((visibility("default"))) const char* __asan_default_options(void);

const char* __asan_default_options(void)
{
    return "handle_sigill=1"           // where the undefined operation is
           ":exitcode=99"              // by default 1, which is that of a refusal, too
           ":malloc_context_size=4";
}
