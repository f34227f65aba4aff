//! Opens what steps can reach: the buckets and destinations of the rules file.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::action::{OpenBucket, Reach};
use crate::model::bucket::Bucket;
use crate::model::destination::Destination;
use crate::model::failure::Failure;
use crate::model::task::Lane;
use crate::object;
use crate::outbound::Guarded;
use crate::worker::lane::Limits;

/// One lane for each bucket and destination, with its limits.
pub(super) fn lanes(
    buckets: &BTreeMap<String, Bucket>,
    destinations: &BTreeMap<String, Destination>,
) -> Vec<(Lane, Limits)> {
    let buckets = buckets
        .values()
        .map(|bucket| (Lane::Bucket(bucket.name.clone()), Limits::from(bucket)));
    let destinations = destinations
        .values()
        .map(|to| (Lane::Destination(to.name.clone()), Limits::from(to)));
    buckets.chain(destinations).collect()
}

/// All buckets and destinations. Asks none of them anything yet; fails with why a bucket
/// cannot work as it is configured.
pub(super) fn reach(
    buckets: BTreeMap<String, Bucket>,
    destinations: BTreeMap<String, Destination>,
) -> Result<Reach, Failure> {
    let mut stores = object::open(buckets.values());
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
