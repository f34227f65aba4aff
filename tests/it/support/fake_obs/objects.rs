//! Operations on existing objects and on the bucket.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use http::Method;

use super::operations::{Outcome, Reply};
use super::request::Recorded;
use super::world::{Content, ENCRYPTION, FakeBucket, Kind, OWNER, Object, World};
use super::xml;

const KEPT: [&str; 6] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
];

pub(super) fn bucket<'a>(world: &'a mut World, request: &Recorded) -> &'a mut FakeBucket {
    world.buckets.get_mut(&request.bucket).unwrap()
}

fn object<'a>(
    world: &'a mut World,
    request: &Recorded,
) -> Result<&'a mut Object, (u16, &'static str)> {
    let objects = &mut bucket(world, request).objects;
    objects.get_mut(&request.key).ok_or((404, "NoSuchKey"))
}

pub(super) fn head_bucket(world: &mut World, request: &Recorded) -> Reply {
    let reply = Reply::status(200).header("x-obs-version", "3.0");
    if bucket(world, request).kind.is_file_system() {
        reply.header("x-obs-fs-file-interface", "Enabled")
    } else {
        reply
    }
}

pub(super) fn list(world: &mut World, request: &Recorded) -> Reply {
    let page = world.page.unwrap_or(1000);
    let prefix = request.value("prefix").unwrap_or_default();
    let marker = request.value("marker").unwrap_or_default();
    let below = request.value("delimiter");
    let all = bucket(world, request).objects.iter();
    let is_behind = |key: &str| {
        // After a page that ends with a folder, the next one starts behind the whole folder.
        let is_inside = below.is_some_and(|end| marker.ends_with(end) && key.starts_with(marker));
        key.starts_with(prefix) && key > marker && !(is_inside && marker.len() > prefix.len())
    };
    let folder_of = |key: &str| {
        let end = below?;
        let at = key[prefix.len()..].find(end)?;
        Some(key[..prefix.len() + at + end.len()].to_owned())
    };
    let mut names = BTreeMap::new();
    for (key, object) in all.filter(|(key, _)| is_behind(key)) {
        match folder_of(key) {
            Some(folder) => names.insert(folder, None),
            None => names.insert(key.clone(), Some(object)),
        };
    }
    let mut found = names.into_iter().peekable();
    let mut inside = String::new();
    let mut last = String::new();
    for (key, object) in found.by_ref().take(page) {
        last.clone_from(&key);
        let key = &key;
        let Some(object) = object else {
            let prefix = xml::escape(key);
            let _ = write!(
                inside,
                "<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"
            );
            continue;
        };
        let _ = write!(
            inside,
            "<Contents><Key>{}</Key><LastModified>2026-07-01T04:19:21.000Z</LastModified>\
             <ETag>\"{}\"</ETag><Size>{}</Size><StorageClass>{}</StorageClass></Contents>",
            xml::escape(key),
            object.etag,
            object.content.size(),
            object.storage_class
        );
    }
    let _ = write!(
        inside,
        "<IsTruncated>{}</IsTruncated>",
        found.peek().is_some()
    );
    if found.peek().is_some() {
        let _ = write!(inside, "<NextMarker>{}</NextMarker>", xml::escape(&last));
    }
    Reply::document(200, xml::document("ListBucketResult", &inside))
}

pub(super) fn head(world: &mut World, request: &Recorded) -> Outcome {
    let object = object(world, request)?;
    let mut reply = Reply::status(200)
        .header("etag", &format!("\"{}\"", object.etag))
        .header("content-length", &object.content.size().to_string());
    for (name, value) in &object.headers {
        reply = reply.header(name, value);
    }
    if object.storage_class != "STANDARD" {
        reply = reply.header("x-obs-storage-class", &object.storage_class);
    }
    if let Some(id) = &object.upload_id {
        reply = reply.header("x-obs-uploadId", id);
    }
    Ok(reply)
}

pub(super) fn get(world: &mut World, request: &Recorded) -> Outcome {
    let reply = head(world, request)?;
    match &object(world, request)?.content {
        Content::Bytes(bytes) => Ok(Reply {
            body: bytes.clone(),
            ..reply
        }),
        Content::Synthetic { .. } => Err((500, "TheFakeHasNoSuchBytes")),
    }
}

pub(super) fn put(world: &mut World, request: &Recorded) -> Outcome {
    let content = Content::Bytes(request.body.clone());
    let object = described(bucket(world, request), request, Object::of(content))?;
    let etag = world.store(&request.bucket, &request.key, object);
    Ok(Reply::status(200).header("etag", &format!("\"{etag}\"")))
}

/// The object, described by the request's headers.
pub(super) fn described(
    bucket: &FakeBucket,
    request: &Recorded,
    mut object: Object,
) -> Result<Object, (u16, &'static str)> {
    let foreign = |name: &str| {
        name == "x-obs-storage-class"
            || name.starts_with("x-obs-server-side-encryption")
            || name.starts_with("x-obs-tagging")
    };
    if bucket.kind.is_file_system() && request.headers.keys().any(|name| foreign(name.as_str())) {
        return Err((405, "FsNotSupport"));
    }
    for (name, value) in &request.headers {
        let name = name.as_str();
        if KEPT.contains(&name) || ENCRYPTION.contains(&name) || name.starts_with("x-obs-meta-") {
            object
                .headers
                .insert(name.to_owned(), value.to_str().unwrap().to_owned());
        }
    }
    if bucket.encrypts && !object.is_encrypted() {
        object = object.encrypted();
    }
    if let Some(class) = request.header("x-obs-storage-class") {
        class.clone_into(&mut object.storage_class);
    }
    object.grants = canned(request.header("x-obs-acl").unwrap_or("private"))?;
    if let Some(tags) = request.header("x-obs-tagging") {
        object.tags = tags
            .split('&')
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap();
                (super::request::decode(key), super::request::decode(value))
            })
            .collect();
    }
    Ok(object)
}

fn canned(acl: &str) -> Result<Vec<super::Grant>, (u16, &'static str)> {
    match acl {
        "private" => Ok(Vec::new()),
        "public-read" => Ok(vec![("*".to_owned(), "READ".to_owned())]),
        _ => Err((400, "InvalidArgument")),
    }
}

pub(super) fn delete(world: &mut World, request: &Recorded) -> Reply {
    bucket(world, request).objects.remove(&request.key);
    Reply::status(204)
}

/// Refuses to delete keys that begin with `locked/`.
pub(super) fn delete_many(world: &mut World, request: &Recorded) -> Outcome {
    let body = std::str::from_utf8(&request.body).unwrap();
    let keys = xml::texts(body, "Key");
    if keys.is_empty() || keys.len() > 1000 {
        return Err((400, "MalformedXML"));
    }
    let mut inside = String::new();
    for key in keys {
        if key.starts_with("locked/") {
            let _ = write!(
                inside,
                "<Error><Key>{}</Key><Code>AccessDenied</Code><Message>locked</Message></Error>",
                xml::escape(&key)
            );
        } else {
            bucket(world, request).objects.remove(&key);
        }
    }
    Ok(Reply::document(200, xml::document("DeleteResult", &inside)))
}

pub(super) fn get_acl(world: &mut World, request: &Recorded) -> Outcome {
    let grant = |grantee: &str, permission: &str| {
        format!(
            "<Grant><Grantee>{grantee}</Grantee><Permission>{permission}</Permission>\
             <Delivered>false</Delivered></Grant>"
        )
    };
    let mut grants = grant(&format!("<ID>{OWNER}</ID>"), "FULL_CONTROL");
    for (grantee, permission) in &object(world, request)?.grants {
        grants += &match grantee.as_str() {
            "*" => grant("<Canned>Everyone</Canned>", permission),
            id => grant(&format!("<ID>{id}</ID>"), permission),
        };
    }
    let inside = format!(
        "<Owner><ID>{OWNER}</ID></Owner><Delivered>false</Delivered>\
         <AccessControlList>{grants}</AccessControlList>"
    );
    Ok(Reply::document(
        200,
        xml::document("AccessControlPolicy", &inside),
    ))
}

pub(super) fn put_acl(world: &mut World, request: &Recorded) -> Outcome {
    let grants = if let Some(acl) = request.header("x-obs-acl") {
        canned(acl)?
    } else {
        let body = std::str::from_utf8(&request.body).unwrap();
        if !body.contains(&format!("<Owner><ID>{OWNER}</ID></Owner>")) {
            return Err((400, "MalformedACLError"));
        }
        xml::inner(body, "Grant").filter_map(read_grant).collect()
    };
    object(world, request)?.grants = grants;
    Ok(Reply::status(200))
}

/// `None` for the owner's grant.
fn read_grant(grant: &str) -> Option<super::Grant> {
    let permission = xml::texts(grant, "Permission").remove(0);
    match xml::texts(grant, "ID").first() {
        Some(id) if id == OWNER => None,
        Some(id) => Some((id.clone(), permission)),
        None => Some(("*".to_owned(), permission)),
    }
}

pub(super) fn tagging(world: &mut World, request: &Recorded) -> Outcome {
    match bucket(world, request).kind {
        Kind::Objects => {}
        Kind::WithoutTags => return Err((405, "MethodNotAllowed")),
        Kind::FileSystem | Kind::StrictFileSystem => return Err((405, "FsNotSupport")),
    }
    let object = object(world, request)?;
    match request.method {
        Method::GET if object.tags.is_empty() => Err((404, "NoSuchTagSet")),
        Method::GET => {
            let tag = |(key, value): (&String, &String)| {
                let (key, value) = (xml::escape(key), xml::escape(value));
                format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>")
            };
            let tags: Vec<String> = object.tags.iter().map(tag).collect();
            let inside = format!("<TagSet>{}</TagSet>", tags.concat());
            Ok(Reply::document(200, xml::document("Tagging", &inside)))
        }
        Method::DELETE => {
            object.tags.clear();
            Ok(Reply::status(204))
        }
        _ => {
            object.tags = read_tags(std::str::from_utf8(&request.body).unwrap())?;
            Ok(Reply::status(200))
        }
    }
}

fn read_tags(body: &str) -> Result<BTreeMap<String, String>, (u16, &'static str)> {
    let keys = xml::texts(body, "Key");
    if keys.len() > 10 {
        return Err((400, "BadRequest"));
    }
    let tags: BTreeMap<_, _> = keys.into_iter().zip(xml::texts(body, "Value")).collect();
    let forbidden = |text: &String| text.contains([',', '/', '|', '<', '>', '=', '*', '\\']);
    if tags
        .iter()
        .any(|(key, value)| forbidden(key) || forbidden(value))
    {
        return Err((400, "InvalidTag"));
    }
    Ok(tags)
}

pub(super) fn put_metadata(world: &mut World, request: &Recorded) -> Outcome {
    if request.header("x-obs-metadata-directive") != Some("REPLACE_NEW") {
        return Err((400, "InvalidArgument"));
    }
    let object = object(world, request)?;
    object
        .headers
        .retain(|name, _| !name.starts_with("x-obs-meta-"));
    for (name, value) in &request.headers {
        if name.as_str().starts_with("x-obs-meta-") {
            let value = value.to_str().unwrap().to_owned();
            object.headers.insert(name.to_string(), value);
        }
    }
    Ok(Reply::status(200))
}

pub(super) fn rename(world: &mut World, request: &Recorded) -> Outcome {
    let bucket = bucket(world, request);
    if !bucket.kind.is_file_system() {
        return Err((405, "MethodNotAllowed"));
    }
    let name = request.value("name").unwrap_or_default();
    let to = name.strip_prefix('/').ok_or((400, "InvalidArgument"))?;
    if !bucket.objects.contains_key(&request.key) {
        return Err((404, "NoSuchKey"));
    }
    if bucket.objects.contains_key(to) {
        return Err((409, "FsObjectConflict"));
    }
    if let Some((folder, _)) = to.rsplit_once('/') {
        let folder = format!("{folder}/");
        let exists = bucket.objects.keys().any(|key| key.starts_with(&folder));
        if bucket.kind == Kind::StrictFileSystem && !exists {
            return Err((404, "NoSuchKey"));
        }
    }
    let object = bucket.objects.remove(&request.key).unwrap();
    bucket.objects.insert(to.to_owned(), object);
    Ok(Reply::status(204))
}
