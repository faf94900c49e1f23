// SPDX-License-Identifier: MIT
#include "store/operation/in_qemu.hpp"

#include "store/model/device_class.hpp"

namespace xlstore {

Result<void> check_in_qemu(Db& db, const DomainRow& domain, const Draft& draft)
{
    const auto& image = draft.image_after;
    const auto* of = find_device_class(draft.thing.device_class);
    if (!image || of == nullptr) return {};
    const auto traits = read_traits(db, domain.id);
    const auto primary = thing_primary(*of, *image, traits);
    if (primary == Primary::qemu) return {};
    const std::string why =
        traits.has_device_model()
            ? "by its element it is none of the device model's"
            : "the domain is " + std::string(domain_type_name(traits.type)) +
                  ", and QEMU emulates nothing for it";
    return Error(Errc::refused,
                 domain.subject() + ": " + draft.thing.text() + " is not QEMU's but " +
                     std::string(primary_name(primary)) + "'s: " + why,
                 "nothing was changed; the program that writes xenstore attaches it, and writes "
                 "its entry with xlstore_fast_put_thing()");
}

}  // namespace xlstore
