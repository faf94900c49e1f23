// SPDX-License-Identifier: MIT
// What a macro of the header says, for those whose language has no C macros: the release, and the
// structs as their _INIT has them.
#include "store/capi/handle.hpp"

using xlstore::capi::init;

const char* xlstore_version(void)
{
    return XLSTORE_VERSION;
}

void xlstore_error_init(xlstore_error* error, size_t size)
{
    init(error, size, xlstore_error XLSTORE_ERROR_INIT);
}

void xlstore_init_options_init(xlstore_init_options* options, size_t size)
{
    init(options, size, xlstore_init_options XLSTORE_INIT_OPTIONS_INIT);
}

void xlstore_open_options_init(xlstore_open_options* options, size_t size)
{
    init(options, size, xlstore_open_options XLSTORE_OPEN_OPTIONS_INIT);
}

void xlstore_call_init(xlstore_call* call, size_t size)
{
    init(call, size, xlstore_call XLSTORE_CALL_INIT);
}

void xlstore_intention_init(xlstore_intention* intention, size_t size)
{
    init(intention, size, xlstore_intention XLSTORE_INTENTION_INIT);
}

void xlstore_carried_out_init(xlstore_carried_out* carried, size_t size)
{
    init(carried, size, xlstore_carried_out XLSTORE_CARRIED_OUT_INIT);
}

void xlstore_domain_info_init(xlstore_domain_info* info, size_t size)
{
    init(info, size, xlstore_domain_info XLSTORE_DOMAIN_INFO_INIT);
}
