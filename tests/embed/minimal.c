/* SPDX-License-Identifier: MIT
 *
 * The least of it: open a store, give a running domain a USB mouse, read, close.
 *
 *   minimal STORE DOMAIN          e.g.  minimal /var/lib/xlstore domid:7
 *
 * The domain has a USB controller 0 ("usbctrls" of its document). Exit status: 0 done, 1 not done,
 * 2 usage, 3 in doubt.
 *
 *   cc -std=c99 minimal.c $(pkg-config --cflags --libs xlstore)
 */
#include <stdio.h>
#include <xlstore/xlstore.h>

static int failed(int32_t status)
{
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_last_error(&error);
    fprintf(stderr, "minimal: %s\n", error.message);
    if (error.advice[0]) fprintf(stderr, "minimal: %s\n", error.advice);
    return status == XLSTORE_E_IN_DOUBT ? 3 : 1; /* three outcomes, never two */
}

static int plug_in_and_read(xlstore_store* store, const char* domain)
{
    xlstore_result* result = NULL;
    char* document = NULL;
    int64_t revision = 0;
    int32_t status;

    status =
        xlstore_attach(store, domain, "usbdevs",
                       "{\"ctrl\": 0, \"port\": 1, \"type.emulated\": {\"driver\": \"usb-mouse\"}}",
                       NULL, &result);
    if (status == XLSTORE_OK) fprintf(stderr, "%s\n", xlstore_result_message(result));
    xlstore_result_free(result);
    if (status != XLSTORE_OK) return failed(status);

    status = xlstore_document(store, domain, &document, &revision);
    if (status != XLSTORE_OK) return failed(status);
    fprintf(stderr, "revision %lld\n", (long long)revision);
    fputs(document, stdout);
    xlstore_string_free(document);
    return 0;
}

int main(int argc, char** argv)
{
    xlstore_open_options options = XLSTORE_OPEN_OPTIONS_INIT;
    xlstore_store* store = NULL;
    int32_t status;
    int code;

    if (argc != 3) {
        fprintf(stderr, "usage: minimal STORE DOMAIN\n");
        return 2;
    }
    options.program = "minimal"; /* who holds a lock, and who did what in the history */
    status = xlstore_open(argv[1], &options, &store);
    if (status != XLSTORE_OK) return failed(status);
    code = plug_in_and_read(store, argv[2]);
    xlstore_close(store);
    return code;
}
