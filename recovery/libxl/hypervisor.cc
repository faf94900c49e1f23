// SPDX-License-Identifier: MIT
// libxenlight is loaded with dlopen() by the name that it was built against, and its few functions
// are looked up in it. Two builds of this file: with libxl's headers, and without them, where the
// list cannot be had.
#include "recovery/libxl/hypervisor.hpp"

#ifdef XLSTORE_LIBXENLIGHT

#include <dlfcn.h>
#include <libxl.h>
#include <xentoollog.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

namespace xlstore::recovery {

namespace {

// libxenlight and what it needs of Xen's log, found by name in the library that was loaded.
class Libxenlight {
public:
    Libxenlight() : library_(dlopen(XLSTORE_LIBXENLIGHT, RTLD_NOW | RTLD_LOCAL))
    {
        if (!library_) return;
        find(ctx_alloc, "libxl_ctx_alloc");
        find(ctx_free, "libxl_ctx_free");
        find(list_domain, "libxl_list_domain");
        find(list_free, "libxl_dominfo_list_free");
        find(make_log, "xtl_createlogger_stdiostream");
        find(end_log, "xtl_logger_destroy");
    }
    Libxenlight(const Libxenlight&) = delete;
    Libxenlight& operator=(const Libxenlight&) = delete;
    ~Libxenlight()
    {
        if (library_) dlclose(library_);
    }
    [[nodiscard]] bool whole() const noexcept { return library_ && !missing_; }

    decltype(&libxl_ctx_alloc) ctx_alloc = nullptr;
    decltype(&libxl_ctx_free) ctx_free = nullptr;
    decltype(&libxl_list_domain) list_domain = nullptr;
    decltype(&libxl_dominfo_list_free) list_free = nullptr;
    decltype(&xtl_createlogger_stdiostream) make_log = nullptr;
    decltype(&xtl_logger_destroy) end_log = nullptr;

private:
    template <class Function>
    void find(Function& function, const char* name)
    {
        function = reinterpret_cast<Function>(dlsym(library_, name));
        missing_ = missing_ || !function;
    }
    void* library_;
    bool missing_ = false;
};

std::string uuid_text(const libxl_uuid& uuid)
{
    std::string text;
    for (std::size_t i = 0; i < 16; ++i) {
        std::array<char, 3> two{};
        std::snprintf(two.data(), two.size(), "%02x", uuid.uuid[i]);
        text += (i == 4 || i == 6 || i == 8 || i == 10) ? "-" : "";
        text += two.data();
    }
    return text;
}

}  // namespace

Result<std::vector<HypervisorDomain>> list_hypervisor_domains()
{
    const Libxenlight xen;
    if (!xen.whole())
        return Error(Errc::not_found, std::string("this host has no ") + XLSTORE_LIBXENLIGHT);
    // What goes wrong is told by the answer.
    const auto log = reinterpret_cast<xentoollog_logger*>(xen.make_log(stderr, XTL_CRITICAL, 0));
    const auto no_domains = [] { return Error(Errc::io, "the hypervisor could not be asked"); };
    if (!log) return no_domains();
    libxl_ctx* context = nullptr;
    int count = 0;
    libxl_dominfo* list = nullptr;
    const bool open = xen.ctx_alloc(&context, LIBXL_VERSION, 0, log) == 0;
    if (open) list = xen.list_domain(context, &count);
    std::vector<HypervisorDomain> found;
    for (int i = 0; list && i < count; ++i)
        if (list[i].domid != 0)
            found.push_back(
                {list[i].domid, uuid_text(list[i].uuid), list[i].paused, list[i].dying});
    const bool asked = list != nullptr;
    if (list) xen.list_free(list, count);
    if (open) xen.ctx_free(context);
    xen.end_log(log);
    if (!asked) return no_domains();
    std::ranges::sort(found, {}, &HypervisorDomain::domid);
    return found;
}

}  // namespace xlstore::recovery

#else

namespace xlstore::recovery {

Result<std::vector<HypervisorDomain>> list_hypervisor_domains()
{
    return Error(Errc::not_found, "xlfsck was built without libxenlight");
}

}  // namespace xlstore::recovery

#endif
