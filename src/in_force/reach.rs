//! Opens the buckets and destinations of the rules file.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::action::{OpenBucket, Reach};
use crate::model::bucket::Bucket;
use crate::model::destination::Destination;
use crate::model::failure::Failure;
use crate::object;
use crate::object::folder::Identities;
use crate::outbound::Guarded;

/// Opens all buckets and destinations without any request. Fails if a bucket cannot work as
/// configured.
pub(super) fn open(
    buckets: BTreeMap<String, Bucket>,
    destinations: BTreeMap<String, Destination>,
    identities: &Arc<dyn Identities>,
) -> Result<Reach, Failure> {
    let mut stores = object::open(buckets.values(), Some(identities));
    let open = buckets.into_iter().filter_map(|(name, config)| {
        let store = stores.remove(&name)?;
        let config = Arc::new(config);
        Some(store.map(|store| (name, OpenBucket { config, store })))
    });
    Ok(Reach {
        buckets: open.collect::<Result<_, Failure>>()?,
        destinations: destinations
            .into_iter()
            .map(|(name, to)| (name, Arc::new(to)))
            .collect(),
        outbound: Arc::new(Guarded::new()),
    })
}
