// SPDX-License-Identifier: MIT
// Products: what a thing is made of in QEMU. Their rows are the one place that says it (R16); where
// there is none yet (a thing of an imported document), the thing's class does. A name in QEMU is
// claimed by one thing of an incarnation, entry or open intent; a stale entry remembers the names
// that it had and claims none.
//
// Everything that writes belongs into a section under the fast lock; nothing here takes a lock.
#ifndef XLSTORE_STORE_CORE_PRODUCT_HPP_
#define XLSTORE_STORE_CORE_PRODUCT_HPP_

#include <cstdint>
#include <vector>

#include "store/base/domain_id.hpp"
#include "store/base/error.hpp"
#include "store/database/db.hpp"
#include "store/model/intent.hpp"
#include "store/model/made_of.hpp"
#include "store/model/thing_row.hpp"

namespace xlstore {

/// What `entry` is made of, as its rows or else its class say it.
[[nodiscard]] MadeOf made_of(Db& db, DomainId domain, const ThingRow& entry);

/// For people: which of `products` other things than `thing` have, "device \"tab\" belongs to
/// qemu/tab"; "": none of them.
[[nodiscard]] std::string owners_among(Db& db, DomainId domain, const ThingName& thing,
                                       const std::vector<Product>& products);

/// The entry of `thing` gets these products in the place of those that it has, and claims them.
/// Error exists, naming the other thing: nothing was written then.
Result<void> replace_products(Db& db, DomainId domain, std::int64_t thing, const ThingName& name,
                              const std::vector<Product>& products);
/// For an intent that removes or changes what it is made of, or finds it again: adds, takes none
/// away. Errors as above.
Result<void> claim_products(Db& db, DomainId domain, std::int64_t thing, const ThingName& name,
                            const std::vector<Product>& products);
/// For an intent that adds `thing` over its entry: the entry's own are kept beside the new ones.
Result<void> claim_second_image(Db& db, DomainId domain, std::int64_t thing, const ThingName& name,
                                const std::vector<Product>& products);
/// Ends that: the products of one of the two images are those of the entry, exactly as they were.
void keep_products_of_one(Db& db, std::int64_t thing, bool second_image);

/// Devices of these things of which the guest has been asked to let go, and has not said no.
[[nodiscard]] std::vector<Product> asked_products(Db& db, std::int64_t thing);
/// The guest has been asked for exactly these of the thing's devices; others it was asked for are
/// no longer waited for. The time of a first request stays.
void write_asked(Db& db, std::int64_t thing, const std::vector<Product>& asked);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_PRODUCT_HPP_
