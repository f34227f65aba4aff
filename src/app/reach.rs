//! Opens what steps can reach: the buckets and destinations of the rules file.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::action::{OpenBucket, Reach};
use crate::model::bucket::{Bucket, BucketStore};
use crate::model::destination::Destination;
use crate::model::failure::Failure;
use crate::model::task::Lane;
use crate::object::obs::ObsStore;
use crate::object::{ObjectStore, folder};
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
    let folders = buckets.values().filter_map(|bucket| match &bucket.store {
        BucketStore::Folder { path } => Some((bucket.name.clone(), path.clone())),
        BucketStore::Obs(_) => None,
    });
    let folders = folder::open(folders.collect());
    let open = buckets.into_iter().map(|(name, config)| {
        let store: Arc<dyn ObjectStore> = match &config.store {
            BucketStore::Obs(obs) => Arc::new(ObsStore::new(&config, obs)?),
            BucketStore::Folder { .. } => Arc::new(folders[&name].clone()),
        };
        let config = Arc::new(config);
        Ok((name, OpenBucket { config, store }))
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
