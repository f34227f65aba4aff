//! Opens what steps can reach: the buckets and destinations of the rules file.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::action::{OpenBucket, Reach};
use crate::model::bucket::{Bucket, BucketStore};
use crate::model::destination::Destination;
use crate::model::task::Lane;
use crate::object::{ObjectStore, folder};
use crate::outbound::Guarded;
use crate::worker::lane::{Lanes, Limits};

/// One lane for each bucket and destination, with its limits.
pub(super) fn lanes(
    buckets: &BTreeMap<String, Bucket>,
    destinations: &BTreeMap<String, Destination>,
) -> Lanes {
    let buckets = buckets
        .values()
        .map(|bucket| (Lane::Bucket(bucket.name.clone()), Limits::from(bucket)));
    let destinations = destinations
        .values()
        .map(|to| (Lane::Destination(to.name.clone()), Limits::from(to)));
    Lanes::new(buckets.chain(destinations))
}

/// The folder buckets and all destinations. Other stores were refused before.
pub(super) fn reach(
    buckets: BTreeMap<String, Bucket>,
    destinations: BTreeMap<String, Destination>,
) -> Reach {
    let folders = buckets.values().filter_map(|bucket| match &bucket.store {
        BucketStore::Folder { path } => Some((bucket.name.clone(), path.clone())),
        BucketStore::Obs(_) => None,
    });
    let mut stores = folder::open(folders.collect());
    let open = buckets.into_iter().filter_map(|(name, config)| {
        let store: Arc<dyn ObjectStore> = Arc::new(stores.remove(&name)?);
        Some((
            name,
            OpenBucket {
                config: Arc::new(config),
                store,
            },
        ))
    });
    Reach {
        buckets: open.collect(),
        destinations: destinations
            .into_iter()
            .map(|(name, to)| (name, Arc::new(to)))
            .collect(),
        outbound: Arc::new(Guarded::new()),
    }
}
