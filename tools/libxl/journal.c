/* SPDX-License-Identifier: MIT
 *
 * One wrapped call, from the store's opening to its closing:
 *
 *   1. journal_begin: XLSTORE_LIBXL says whether a call goes on without a store. The row is found
 * by the hypervisor's uuid; where there is none, or no QEMU in it, the domain is taken over.
 *   2. Slow lock, then xlstore_follow with libxl's file: what libxl did outside of the journal. A
 * call costs most by its looks at QEMU, and this one is the longest: it is left out where the file
 * has the elements that the store has, and made where the look of step 3 finds others.
 *   3. journal_intend, the real call, journal_settle: the store connects only for its looks, since
 * a monitor serves one client and libxl is it in between.
 *   4. Where look and libxl disagree, libxl's file follows the look, and so does the answer. What
 * was not seen is not guessed: the file stays, the intent stays open, libxl's answer stands. */
#define _GNU_SOURCE
#include "journal.h"

#include <dlfcn.h>
#include <libxl_utils.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void* journal_next(const char* name)
{
    void* found = dlsym(RTLD_NEXT, name);
    if (!found) {
        fprintf(stderr, "xlj: this libxenlight has no %s\n", name);
        abort(); /* the caller could not have been linked */
    }
    return found;
}

void journal_say(const char* call, const char* format, ...)
{
    char text[1400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "xlj: %s: %s\n", call, text);
}

void journal_failed(const char* call, const char* what, int32_t status)
{
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_last_error(&error);
    journal_say(call, "%s: %s: %s%s%s", what, xlstore_status_name(status), error.message,
                error.advice[0] ? "; " : "", error.advice);
}

static bool says(const char* word)
{
    const char* mode = getenv("XLSTORE_LIBXL");
    return mode && strcmp(mode, word) == 0;
}

xlstore_store* journal_store(const char* call, bool* refused)
{
    xlstore_open_options options = XLSTORE_OPEN_OPTIONS_INIT;
    xlstore_store* store = NULL;
    *refused = false;
    if (says("off")) return NULL;
    options.program = "xlj";
    const int32_t status = xlstore_open(xlstore_default_directory(), &options, &store);
    if (status == XLSTORE_OK) return store;
    *refused = says("required");
    journal_failed(call,
                   *refused ? "refused, for there is no store to be used"
                            : "goes on without a journal, for there is no store to be used",
                   status);
    return NULL;
}

enum way journal_without(const char* call, const char* reason)
{
    if (says("off")) return WAY_PLAIN;
    const bool refused = says("required");
    journal_say(call, "%s, for %s", refused ? "refused" : "goes on without a journal", reason);
    return refused ? WAY_REFUSED : WAY_PLAIN;
}

static bool read_domain(struct journal* j)
{
    libxl_dominfo info;
    libxl_dominfo_init(&info);
    const bool there = libxl_domain_info(j->ctx, &info, j->domid) == 0;
    snprintf(j->uuid, sizeof j->uuid, LIBXL_UUID_FMT, LIBXL_UUID_BYTES(info.uuid));
    j->has_qemu = info.domain_type == LIBXL_DOMAIN_TYPE_HVM;
    libxl_dominfo_dispose(&info);
    snprintf(j->name, sizeof j->name, "domid:%u", j->domid);
    return there;
}

int32_t journal_adopt(struct journal* j)
{
    char monitor[64];
    xlstore_call call = XLSTORE_CALL_INIT;
    call.document_name = "libxl-json";
    snprintf(monitor, sizeof monitor, "/run/xen/qmp-libxl-%u", j->domid);
    return xlstore_adopt(j->store, (int32_t)j->domid, j->document, j->has_qemu ? monitor : NULL,
                         &call, NULL);
}

/* The row is this domain's, and has its QEMU. */
static int32_t find_or_adopt(struct journal* j)
{
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    const int32_t status = xlstore_find(j->store, j->name, &info);
    if (status != XLSTORE_OK && status != XLSTORE_E_NOT_FOUND) return status;
    const bool ours = status == XLSTORE_OK && strcmp(info.uuid, j->uuid) == 0;
    j->is_settled = ours && info.open_intents == 0;
    if (ours && (!j->has_qemu || info.qemu == XLSTORE_QEMU_ALIVE)) return XLSTORE_OK;
    return journal_adopt(j);
}

/* Nothing was done outside of the journal that libxl's file would show, and no call died. */
static bool is_in_line(const struct journal* j)
{
    char* document = NULL;
    const bool same = j->is_settled &&
                      xlstore_document(j->store, j->name, &document, NULL) == XLSTORE_OK &&
                      libxl_file_lists_the_same(j, document);
    xlstore_string_free(document);
    return same;
}

int32_t journal_follow(struct journal* j)
{
    if (j->followed) return XLSTORE_OK;
    j->followed = true;
    return xlstore_follow(j->hold, j->document, NULL, NULL);
}

bool journal_recover(struct journal* j)
{
    xlstore_recover_options options = XLSTORE_RECOVER_OPTIONS_INIT;
    options.domain = j->name;
    const int32_t status = xlstore_recover(j->store, &options, NULL);
    if (status != XLSTORE_OK) journal_failed(j->call, "not all is settled", status);
    return status == XLSTORE_OK;
}

enum way journal_begin(struct journal* j, const char* call, libxl_ctx* ctx, uint32_t domid)
{
    bool refused = false;
    memset(j, 0, sizeof *j);
    j->ctx = ctx;
    j->domid = domid;
    j->call = call;
    if (says("off") || !read_domain(j))
        return WAY_PLAIN; /* libxl says that there is no such domain */
    j->store = journal_store(call, &refused);
    if (!j->store) return refused ? WAY_REFUSED : WAY_PLAIN;
    j->document = libxl_file_read(j);
    int32_t status = XLSTORE_E_NOT_FOUND;
    const char* what = "libxl has no readable document of the domain";
    if (j->document) {
        what = "the domain cannot be taken over";
        status = find_or_adopt(j);
    }
    if (status == XLSTORE_OK) {
        what = "its slow lock";
        status = xlstore_slow_lock(j->store, j->name, call, NULL, &j->hold);
    }
    if (status == XLSTORE_OK) {
        what = "libxl's document of the domain went away";
        free(j->document); /* another call may have changed it before it gave the lock back */
        j->document = libxl_file_read(j);
        if (!j->document) status = XLSTORE_E_NOT_FOUND;
    }
    if (status == XLSTORE_OK && j->has_qemu && !is_in_line(j)) {
        what = "the document cannot be brought in line";
        status = journal_follow(j);
    }
    if (status == XLSTORE_OK) return WAY_JOURNAL;
    journal_failed(call, what, status);
    journal_end(j);
    return WAY_REFUSED;
}

void journal_end(struct journal* j)
{
    xlstore_hold_release(j->hold);
    xlstore_close(j->store);
    free(j->document);
    j->hold = NULL;
    j->store = NULL;
    j->document = NULL;
}

enum way journal_leave(struct journal* j, const char* reason)
{
    journal_end(j);
    return journal_without(j->call, reason);
}

enum way journal_to_end(struct journal* j, enum way way, const libxl_asyncop_how* ao_how)
{
    if (way != WAY_JOURNAL || !ao_how || ao_how->callback) return way;
    return journal_leave(j, "its end is told by an event, which the journal does not see");
}

int32_t journal_intend(struct journal* j, struct subject* subjects, size_t count)
{
    xlstore_intention intentions[count];
    int64_t numbers[count];
    memset(intentions, 0, sizeof intentions);
    for (size_t i = 0; i < count; i++) {
        intentions[i] = (xlstore_intention)XLSTORE_INTENTION_INIT;
        intentions[i].operation = subjects[i].operation;
        intentions[i].device_class = subjects[i].device_class;
        intentions[i].key = subjects[i].operation == XLSTORE_ADD ? NULL : subjects[i].key;
        intentions[i].json = subjects[i].operation == XLSTORE_REMOVE ? NULL : subjects[i].json;
        intentions[i].plan = subjects[i].plan;
        numbers[i] = 0;
    }
    int32_t status = xlstore_look_and_intend(j->hold, intentions, count, NULL, numbers);
    /* QEMU has other things than the entries say: an xl without the journal was killed, say. */
    if ((status == XLSTORE_E_EXISTS || status == XLSTORE_E_NOT_FOUND) && !j->followed &&
        journal_follow(j) == XLSTORE_OK)
        status = xlstore_look_and_intend(j->hold, intentions, count, NULL, numbers);
    for (size_t i = 0; i < count; i++)
        subjects[i].intent = numbers[i];
    return status;
}

/* An element that libxl keeps beyond the thing's removal is stale, as libxl has it: it stays. One
 * is taken out only where the look has shown that the add is not in QEMU; where the store cannot
 * say what it has of the thing, the file stays as it is. */
static void follow_in_file(struct journal* j, const struct subject* subject, bool done)
{
    if (subject->seen == XLSTORE_SEEN_NOTHING) return;
    if (subject->operation == XLSTORE_REMOVE && done) return;
    if (subject->operation == XLSTORE_ADD && strcmp(subject->device_class, "vcpus") == 0) return;
    if (subject->operation == XLSTORE_ADD && subject->seen == XLSTORE_SEEN_BEFORE) {
        libxl_file_follow(j, subject, NULL);
        return;
    }
    char* json = NULL;
    const int32_t status =
        xlstore_thing(j->store, j->name, subject->device_class, subject->key, &json, NULL);
    if (status == XLSTORE_OK && json) {
        libxl_file_follow(j, subject, json);
    } else {
        char what[160];
        snprintf(what, sizeof what, "libxl's file: %.20s/%.80s stays as it is",
                 subject->device_class, subject->key);
        journal_failed(j->call, what, status);
    }
    xlstore_string_free(json);
}

static enum outcome outcome_of(const xlstore_carried_out* carried, size_t count, int32_t status)
{
    enum outcome outcome = OUTCOME_DONE;
    if (status != XLSTORE_OK && status != XLSTORE_E_IN_DOUBT) return OUTCOME_NOT_KNOWN;
    for (size_t i = 0; i < count; i++) {
        if (carried[i].seen == XLSTORE_SEEN_AFTER) continue;
        if (carried[i].seen != XLSTORE_SEEN_NOTHING) return OUTCOME_NOT_DONE;
        if (!carried[i].asked)
            outcome = OUTCOME_NOT_KNOWN;
        else if (outcome == OUTCOME_DONE)
            outcome = OUTCOME_NOT_YET;
    }
    return outcome;
}

/* Looks again at what a guest was asked for and has still: most let go a moment after libxl's call
 * has returned (of a USB controller libxl does not wait for it at all). Each look says in the
 * store why an intent stays open, and so they become fewer; all of them take 6 s. */
static int32_t wait_for_guest(struct journal* j, xlstore_carried_out* carried, size_t count)
{
    int32_t status = XLSTORE_E_IN_DOUBT;
    for (unsigned ms = 100; status == XLSTORE_E_IN_DOUBT && ms <= 3200; ms *= 2) {
        xlstore_carried_out left[count];
        size_t of[count], number = 0;
        for (size_t i = 0; i < count; i++) {
            if (carried[i].seen != XLSTORE_SEEN_NOTHING) continue;
            if (!carried[i].asked) return status;
            left[number] = carried[i];
            of[number++] = i;
        }
        usleep(ms * 1000);
        status = xlstore_look_and_settle(j->hold, left, number, NULL);
        for (size_t i = 0; i < number; i++)
            carried[of[i]] = left[i];
    }
    return status;
}

enum outcome journal_settle(struct journal* j, struct subject* subjects, size_t count, int rc,
                            bool waits)
{
    xlstore_carried_out carried[count];
    char* saved[count];
    char evidence[80];
    char* document = libxl_file_read(j);
    snprintf(evidence, sizeof evidence, "%s: rc %d", j->call, rc);
    for (size_t i = 0; i < count; i++) {
        saved[i] = rc == 0 && subjects[i].operation != XLSTORE_REMOVE && document
                       ? libxl_file_element(j, document, &subjects[i])
                       : NULL;
        carried[i] = (xlstore_carried_out)XLSTORE_CARRIED_OUT_INIT;
        carried[i].intent = subjects[i].intent;
        carried[i].evidence = evidence;
        carried[i].json = saved[i];
        carried[i].asked = rc == 0 && subjects[i].operation == XLSTORE_REMOVE;
    }
    int32_t status = xlstore_look_and_settle(j->hold, carried, count, NULL);
    if (waits && status == XLSTORE_E_IN_DOUBT) status = wait_for_guest(j, carried, count);
    if (status != XLSTORE_OK) journal_failed(j->call, "not settled", status);
    for (size_t i = 0; i < count; i++) {
        subjects[i].seen = carried[i].seen;
        follow_in_file(j, &subjects[i], carried[i].seen == XLSTORE_SEEN_AFTER);
        free(saved[i]);
    }
    free(document);
    return outcome_of(carried, count, status);
}

int journal_answer(const struct journal* j, int rc, enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_DONE:
        if (rc != 0) journal_say(j->call, "libxl answered %d, and QEMU shows that it is done", rc);
        return 0;
    case OUTCOME_NOT_DONE:
        if (rc != 0) return rc;
        journal_say(j->call, "libxl answered 0, and QEMU shows that it is not done");
        return ERROR_FAIL;
    case OUTCOME_NOT_YET: /* libxl answered 0: only then its guest counts as asked */
        journal_say(
            j->call,
            "libxl answered %d, and it is not seen to be gone from QEMU: the intent stays open",
            rc);
        return ERROR_FAIL;
    case OUTCOME_NOT_KNOWN:
        break;
    }
    journal_say(j->call,
                "libxl answered %d; what QEMU has now is not known: the intent stays open, and "
                "'xlfsck -p' settles it",
                rc);
    return rc;
}

void journal_forget(struct subject* subjects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(subjects[i].own_key);
        free(subjects[i].json);
        free(subjects[i].plan);
        subjects[i].own_key = subjects[i].json = subjects[i].plan = NULL;
    }
}
