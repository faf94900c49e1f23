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
    static constexpr xlstore_error standard = XLSTORE_ERROR_INIT;
    init(error, size, standard);
}

void xlstore_init_options_init(xlstore_init_options* options, size_t size)
{
    static constexpr xlstore_init_options standard = XLSTORE_INIT_OPTIONS_INIT;
    init(options, size, standard);
}

void xlstore_open_options_init(xlstore_open_options* options, size_t size)
{
    static constexpr xlstore_open_options standard = XLSTORE_OPEN_OPTIONS_INIT;
    init(options, size, standard);
}

void xlstore_call_init(xlstore_call* call, size_t size)
{
    static constexpr xlstore_call standard = XLSTORE_CALL_INIT;
    init(call, size, standard);
}

void xlstore_intention_init(xlstore_intention* intention, size_t size)
{
    static constexpr xlstore_intention standard = XLSTORE_INTENTION_INIT;
    init(intention, size, standard);
}

void xlstore_carried_out_init(xlstore_carried_out* carried, size_t size)
{
    static constexpr xlstore_carried_out standard = XLSTORE_CARRIED_OUT_INIT;
    init(carried, size, standard);
}

void xlstore_domain_info_init(xlstore_domain_info* info, size_t size)
{
    static constexpr xlstore_domain_info standard = XLSTORE_DOMAIN_INFO_INIT;
    init(info, size, standard);
}
