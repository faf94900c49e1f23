/* SPDX-License-Identifier: MIT
 *
 * Calls that go on after they returned (libxl_asyncop_how). The form with a callback is chained:
 * libxl gets a callback of the journal's, which settles, and then calls the caller's with the
 * answer. The form with an event cannot be: what needs an intent has no journal in that form. */
#include <stdlib.h>
#include <string.h>

#include "journal.h"

struct later {
    libxl_asyncop_how how; /* the caller's */
    journal_over* over;
    void* data;
};

static void settle(libxl_ctx* ctx, int rc, void* data)
{
    const struct later later = *(struct later*)data;
    free(data);
    later.how.callback(ctx, later.over(later.data, rc), later.how.u.for_callback);
}

int journal_later(const libxl_asyncop_how* how, journal_over* over, void* data,
                  libxl_asyncop_how* chained)
{
    struct later* later = malloc(sizeof *later);
    if (!later) return ERROR_NOMEM;
    *later = (struct later){*how, over, data};
    memset(chained, 0, sizeof *chained);
    chained->callback = settle;
    chained->u.for_callback = later;
    return 0;
}

int journal_later_returned(libxl_asyncop_how* chained, int rc)
{
    if (rc == 0) return 0;
    struct later* later = chained->u.for_callback;
    const int answer = later->over(later->data, rc);
    free(later);
    return answer;
}
