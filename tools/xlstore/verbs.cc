// SPDX-License-Identifier: MIT
#include "tools/xlstore/verbs.hpp"

namespace xlstore::tools {

const std::vector<VerbRow>& verbs()
{
    static const std::vector<VerbRow> rows = {
        {"init", "[--group GID] [--power]", "make a new store", 0, 0, run_init},
        {"upgrade", "", "bring a store of an older release to this release's schema", 0, 0,
         run_upgrade},
        {"backup", "FILE", "write one state of the store into a file, beside those who work on it",
         1, 1, run_backup},
        {"restore", "FILE [--adopt] [--userdata DIR]", "make what a backup has this store's state",
         1, 1, run_restore},
        {"create", "DOMID CONFIG.json [--things FILE] [--no-qemu] -- COMMAND...",
         "start QEMU as that domain", 2, 2, run_create},
        {"soft-reset", "DOM -- QEMU-COMMAND...", "give a domain a new QEMU; its document stays", 1,
         1, run_soft_reset},
        {"import", "DOMID CONFIG.json [--things FILE] [--force]",
         "a document for a domain that runs elsewhere", 2, 2, run_import},
        {"register", "DOM --monitor SOCKET [--pid N] [--handed-in]",
         "register a QEMU that runs already, as it is", 1, 1, run_register},
        {"rename", "DOM NAME [--revision N]", "another name, in row and document at once", 2, 2,
         run_rename},
        {"preserve", "DOM NAME [--uuid UUID]",
         "another name and uuid, so that the domain can be created anew beside it", 2, 2,
         run_preserve},
        {"close", "DOM --reason TEXT",
         "refuse changes of a domain until it is opened again, as for a migration", 1, 1,
         run_close},
        {"reopen", "DOM", "allow them again", 1, 1, run_reopen},
        {"list", "[--retired]", "the domains; or the documents of those that are over", 0, 0,
         run_list},
        {"show", "DOM", "one domain", 1, 1, run_show},
        {"things", "DOM", "its entries", 1, 1, run_things},
        {"intents", "[DOM]", "open intents", 0, 1, run_intents},
        {"history", "[DOM]", "what was done, and on what evidence", 0, 1, run_history},
        {"locks", "[--break DOM [--force]]",
         "who holds what, who waits, checked against the living; or break a slow lock", 0, 0,
         run_locks},
        {"insert", "DOM VDEV FILE [--force] [--wait]",
         "put an image into a CD drive, in place of what was in it", 3, 3, run_insert},
        {"eject", "DOM VDEV [--force] [--wait]", "empty a CD drive", 2, 2, run_eject},
        {"attach", "DOM CLASS JSON", "add a thing; JSON: a literal, @FILE, or - for standard input",
         3, 3, run_attach},
        {"detach", "DOM CLASS KEY", "take a thing out", 3, 3, run_detach},
        {"batch", "DOM JSON [--all-or-none]",
         "several of these four under one slow lock and one connection", 2, 2, run_batch},
        {"wait", "INTENT", "wait until an intent is closed", 1, 1, run_wait},
        {"recover", "[DOM]", "settle what crashed operations left open", 0, 1, run_recover},
        {"destroy", "DOM [--assume-dead] | DOMID --uuid UUID",
         "kill the domain's QEMU; 'list --retired' has its document then", 1, 1, run_destroy},
        {"export", "DOM [--retired | --settled [--name NAME]] [--things FILE]",
         "the libxl-json document, byte for byte as libxl would write it", 1, 1, run_export},
        {"undo", "[RUN [DOM] [--dry-run] [--force] | aside:N [--dry-run]]",
         "what runs of recovery rewrote: list them, or put a run's documents back", 0, 2, run_undo},
        {"prune", "[KIND...] [--older-than DAYS] [--dry-run]",
         "take away what is kept too long: history retired undo domains damaged locks", 0, 6,
         run_prune},
        {"sql", "[QUERY]", "run a query (or standard input) read-only", 0, 1, run_sql},
        {"crash-points", "", "the names of all crash points", 0, 0, run_crash_points},
    };
    return rows;
}

}  // namespace xlstore::tools
