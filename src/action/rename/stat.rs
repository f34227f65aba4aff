//! Looks up many objects at once, by listing where that needs fewer requests.

use std::collections::{BTreeMap, BTreeSet};

use super::relative_key;
use crate::action::Reach;
use crate::model::failure::Failure;
use crate::model::recording::Place;
use crate::object::{ObjectMeta, ObjectStore};

/// With more objects than this in a folder, list it instead of asking for each.
const ASK_FOR_EACH: usize = 4;

/// The existing objects at these places. Objects found by listing lack their attributes.
pub(super) async fn find(
    reach: &Reach,
    places: impl IntoIterator<Item = &Place>,
) -> Result<BTreeMap<Place, ObjectMeta>, Failure> {
    let mut folders: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for place in places {
        let folder = (place.bucket.as_str(), relative_key::folder(&place.key));
        folders.entry(folder).or_default().insert(&place.key);
    }
    for ((bucket, _), keys) in folders {
        let store = match keys.first() {
            Some(key) => &*reach.bucket(&place(bucket, key))?.store,
            None => continue,
        };
        let objects = match keys.len() {
            0..=ASK_FOR_EACH => ask(store, &keys).await?,
            _ => list(store, &keys).await?,
        };
        found.extend(objects.into_iter().map(|o| (place(bucket, &o.key), o)));
    }
    Ok(found)
}

async fn ask(store: &dyn ObjectStore, keys: &BTreeSet<&str>) -> Result<Vec<ObjectMeta>, Failure> {
    let mut found = Vec::new();
    for key in keys {
        found.extend(store.head(key).await?);
    }
    Ok(found)
}

/// Lists only the range of `keys`: a folder may hold far more than one recording.
async fn list(store: &dyn ObjectStore, keys: &BTreeSet<&str>) -> Result<Vec<ObjectMeta>, Failure> {
    let (first, last) = (keys.first().unwrap_or(&""), keys.last().unwrap_or(&""));
    let prefix = shared(first, last);
    let mut found = Vec::new();
    let mut after = before(first);
    loop {
        let page = store.list(prefix, after.as_deref()).await?;
        let Some(end) = page.objects.last().map(|object| object.key.clone()) else {
            return Ok(found);
        };
        let wanted = |object: &ObjectMeta| keys.contains(object.key.as_str());
        found.extend(page.objects.into_iter().filter(wanted));
        if !page.more || end.as_str() >= *last {
            return Ok(found);
        }
        after = Some(end);
    }
}

/// A key slightly before `key`: a listing starts after the key it is given.
fn before(key: &str) -> Option<String> {
    let (last, _) = key.char_indices().next_back()?;
    (last > 0).then(|| key[..last].to_owned())
}

fn shared<'a>(first: &'a str, last: &str) -> &'a str {
    let same = |((_, a), b): &((usize, char), char)| a == b;
    let length = first.char_indices().zip(last.chars()).take_while(same);
    &first[..length.map(|((_, c), _)| c.len_utf8()).sum()]
}

fn place(bucket: &str, key: &str) -> Place {
    Place {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_beginning_ends_between_characters() {
        assert_eq!(shared("a/录x", "a/录y"), "a/录");
        assert_eq!(shared("a/录", "a/彔"), "a/");
        assert_eq!(shared("a", "ab"), "a");
    }
}
