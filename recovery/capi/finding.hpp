// SPDX-License-Identifier: MIT
// A finding as C has it.
#ifndef XLSTORE_RECOVERY_CAPI_FINDING_HPP_
#define XLSTORE_RECOVERY_CAPI_FINDING_HPP_

#include <string>

#include "recovery/base/check.hpp"
#include "store/base/limits.hpp"
#include "store/capi/handle.hpp"
#include "store/text/plain_text.hpp"
#include "xlstore/recovery.h"

namespace xlstore::capi {

/// The texts live for as long as this does.
class ToldFinding {
public:
    ToldFinding(const recovery::Problem& about, const recovery::Finding& f)
        : problem_(about.name),
          subject_(one_line(f.subject)),
          message_(about.message),
          question_(about.question),
          evidence_(one_line(f.evidence)),
          error_(one_line(f.error)),
          fixed_(about.fixed)
    {
        finding_.struct_size = sizeof finding_;
        finding_.code = static_cast<int32_t>(about.code);
        finding_.action = static_cast<int32_t>(f.action);
        finding_.domid = static_cast<int32_t>(f.domid.value_or(-1));
        finding_.intent = f.intent.value_or(0);
        finding_.problem = problem_.c_str();
        finding_.subject = subject_.c_str();
        finding_.message = message_.c_str();
        finding_.question = question_.c_str();
        finding_.evidence = evidence_.c_str();
        finding_.error = error_.c_str();
        finding_.fixed = fixed_.c_str();
        finding_.if_left = static_cast<int32_t>(about.if_left);
    }
    ToldFinding(const ToldFinding&) = delete;
    ToldFinding& operator=(const ToldFinding&) = delete;
    ~ToldFinding() = default;
    [[nodiscard]] const xlstore_finding* get() const noexcept { return &finding_; }

private:
    // Names, keys and paths are in them as they are.
    static std::string one_line(const std::string& text)
    {
        return plain_text(text, limits::error_bytes_max);
    }

    std::string problem_, subject_, message_, question_, evidence_, error_, fixed_;
    xlstore_finding finding_{};
};

}  // namespace xlstore::capi

#endif  // XLSTORE_RECOVERY_CAPI_FINDING_HPP_
