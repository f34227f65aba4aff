//! Deletes a batch of objects, in as few requests as the buckets allow.

use std::collections::BTreeMap;

use super::late::Late;
use crate::action::Reach;
use crate::model::failure::Failure;
use crate::model::recording::Place;
use crate::object::Pair;

/// Deletes at most [`crate::object::DELETE_LIMIT`] objects, each given with its copy, which stays.
/// Returns the objects that it could not delete.
pub(super) async fn delete(
    reach: &Reach,
    places: impl Iterator<Item = (&Place, &Place)>,
    late: &Late,
) -> Result<BTreeMap<Place, Failure>, Failure> {
    let mut buckets: BTreeMap<&str, Vec<(&Place, &Place)>> = BTreeMap::new();
    for (goes, stays) in places {
        let bucket = buckets.entry(&goes.bucket).or_default();
        bucket.push((goes, stays));
    }
    let mut left = BTreeMap::new();
    for (bucket, places) in buckets {
        let pairs = places.iter().map(|(goes, stays)| Pair {
            goes: goes.key.clone(),
            stays: (*stays).clone(),
        });
        let pairs: Vec<Pair> = pairs.collect();
        let store = &reach.bucket(places[0].0)?.store;
        let deleted = store.delete_keeping(&pairs).await;
        // When a request fails as a whole, any of its objects may still be there.
        let keys = pairs.into_iter().map(|pair| pair.goes);
        let all = |failure: Failure| keys.map(|key| (key, failure.clone())).collect();
        let failures: Vec<_> = deleted.unwrap_or_else(all);
        left.extend(failures.into_iter().map(|(key, failure)| {
            let bucket = bucket.to_owned();
            (Place { bucket, key }, failure)
        }));
    }
    for (place, failure) in &left {
        late.note(place, failure);
    }
    Ok(left)
}
