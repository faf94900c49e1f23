// SPDX-License-Identifier: MIT
// What the address sanitizer's runtime asks each sanitized program for before it reads ASAN_OPTIONS, which comes
// on top of it.
__attribute__((visibility("default"))) const char* __asan_default_options(void);
__attribute__((visibility("default"))) const char* __lsan_default_suppressions(void);

const char* __asan_default_options(void)
{
    return "handle_sigill=1"           // where the undefined operation is
           ":exitcode=99"              // by default 1, which is that of a refusal, too
           // Most of what a short process costs is memory that it touches for the first time: a page for each
           // new stack of an allocation, and for each chunk while all that was freed is kept. What is freed is
           // kept for the next megabyte. More of both: ASAN_OPTIONS=malloc_context_size=30:quarantine_size_mb=256.
           ":malloc_context_size=2"
           ":quarantine_size_mb=1:thread_local_quarantine_size_kb=256";
}

// Of libpq: the answer that it makes for a connection which is lost is not given back by libpqxx 6.4.
const char* __lsan_default_suppressions(void)
{
    return "leak:PQmakeEmptyPGresult\n";
}
