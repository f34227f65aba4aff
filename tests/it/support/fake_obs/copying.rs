//! Copies of whole objects and of parts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::objects::{bucket, described};
use super::operations::{Outcome, Reply};
use super::request::{Recorded, decode};
use super::world::{Content, Kind, Object, Part, Upload, World, md5_hex};
use super::xml;

/// The largest copy in one request, in bytes.
const COPY_LIMIT: u64 = 5 << 30;

/// The source object, if the request's precondition holds.
fn source(world: &World, request: &Recorded) -> Result<(Kind, Object), (u16, &'static str)> {
    let source = request.header("x-obs-copy-source").unwrap_or_default();
    let named = source
        .strip_prefix('/')
        .and_then(|name| name.split_once('/'));
    let (from, key) = named.ok_or((400, "InvalidArgument"))?;
    if !key.is_ascii() || key.contains('?') {
        return Err((400, "InvalidArgument"));
    }
    let from = world.buckets.get(from).ok_or((404, "NoSuchBucket"))?;
    let object = from.objects.get(&decode(key)).ok_or((404, "NoSuchKey"))?;
    let wanted = request.header("x-obs-copy-source-if-match");
    if wanted.is_some_and(|wanted| wanted.trim_matches('"') != object.etag) {
        return Err((412, "PreconditionFailed"));
    }
    if object.storage_class == "COLD" {
        return Err((403, "InvalidObjectState"));
    }
    Ok((from.kind, object.clone()))
}

fn result(root: &str, etag: &str) -> Reply {
    let inside =
        format!("<LastModified>2026-07-01T04:19:21.000Z</LastModified><ETag>\"{etag}\"</ETag>");
    Reply::document(200, xml::document(root, &inside))
}

pub(super) fn copy(world: &mut World, request: &Recorded) -> Outcome {
    let copied = read(world, request)?;
    Ok(write(world, request, copied))
}

/// The future copy.
pub(super) fn read(world: &mut World, request: &Recorded) -> Result<Object, (u16, &'static str)> {
    if !request.body.is_empty() {
        return Err((400, "UnexpectedContent"));
    }
    let (kind, source) = source(world, request)?;
    if source.content.size() > COPY_LIMIT {
        return Err((400, "EntityTooLarge"));
    }
    let mut copied = described(
        bucket(world, request),
        request,
        Object::of(source.content.clone()),
    )?;
    match request.header("x-obs-metadata-directive") {
        Some("REPLACE") => {}
        None | Some("COPY") if is_onto_itself(request) => return Err((400, "InvalidRequest")),
        None | Some("COPY") => copied.describe_as(&source),
        Some(_) => return Err((400, "InvalidArgument")),
    }
    if request.header("x-obs-tagging-directive") == Some("COPY") {
        if !kind.has_tags() || !bucket(world, request).kind.has_tags() {
            return Err((405, "MethodNotAllowed"));
        }
        copied.tags = source.tags;
    }
    Ok(copied)
}

fn is_onto_itself(request: &Recorded) -> bool {
    let named = request.header("x-obs-copy-source").unwrap_or_default();
    decode(named) == format!("/{}/{}", request.bucket, request.key)
}

pub(super) fn write(world: &mut World, request: &Recorded, copied: Object) -> Reply {
    let etag = world.store(&request.bucket, &request.key, copied);
    result("CopyObjectResult", &etag)
}

pub(super) fn list_uploads(world: &mut World, request: &Recorded) -> Reply {
    let page = world.page.unwrap_or(1000);
    let prefix = request.value("prefix").unwrap_or_default();
    let marker = (
        request.value("key-marker").unwrap_or_default(),
        request.value("upload-id-marker").unwrap_or_default(),
    );
    let mut open: Vec<(&str, &str)> = bucket(world, request)
        .uploads
        .iter()
        .map(|(id, upload)| (upload.key.as_str(), id.as_str()))
        .filter(|at| at.0.starts_with(prefix) && *at > marker)
        .collect();
    open.sort_unstable();
    let shown = &open[..open.len().min(page)];
    let mut inside = String::new();
    for (key, id) in shown {
        let key = xml::escape(key);
        let _ = write!(
            inside,
            "<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>"
        );
    }
    let _ = write!(
        inside,
        "<IsTruncated>{}</IsTruncated>",
        shown.len() < open.len()
    );
    if let Some((key, id)) = shown.last() {
        let key = xml::escape(key);
        let _ = write!(
            inside,
            "<NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>{id}</NextUploadIdMarker>"
        );
    }
    Reply::document(200, xml::document("ListMultipartUploadsResult", &inside))
}

pub(super) fn initiate(world: &mut World, request: &Recorded) -> Outcome {
    world.uploads += 1;
    let id = format!("{:010X}", world.uploads);
    let bucket = bucket(world, request);
    let mut object = described(bucket, request, Object::text(""))?;
    object.upload_id = Some(id.clone());
    let upload = Upload {
        key: request.key.clone(),
        object,
        parts: BTreeMap::new(),
    };
    bucket.uploads.insert(id.clone(), upload);
    let inside = format!("<UploadId>{id}</UploadId>");
    Ok(Reply::document(
        200,
        xml::document("InitiateMultipartUploadResult", &inside),
    ))
}

fn upload<'a>(
    world: &'a mut World,
    request: &Recorded,
) -> Result<&'a mut Upload, (u16, &'static str)> {
    let id = request.value("uploadId").unwrap_or_default();
    let open = bucket(world, request).uploads.get_mut(id);
    open.filter(|upload| upload.key == request.key)
        .ok_or((404, "NoSuchUpload"))
}

pub(super) fn copy_part(world: &mut World, request: &Recorded) -> Outcome {
    let part = read_part(world, request)?;
    add_part(world, request, part)
}

/// The source bytes of the future part.
pub(super) fn read_part(
    world: &mut World,
    request: &Recorded,
) -> Result<Part, (u16, &'static str)> {
    let (_, source) = source(world, request)?;
    let range = request
        .header("x-obs-copy-source-range")
        .unwrap_or_default();
    let bounds = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'));
    let (first, last) = bounds.ok_or((400, "InvalidArgument"))?;
    let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
    if last >= source.content.size() {
        return Err((400, "InvalidRange"));
    }
    upload(world, request)?;
    Ok(Part {
        etag: md5_hex(format!("{}:{range}", source.etag).as_bytes()),
        content: source.content,
        first,
        last,
    })
}

pub(super) fn add_part(world: &mut World, request: &Recorded, mut part: Part) -> Outcome {
    if upload(world, request)?.object.is_encrypted() {
        part.etag = world.new_etag();
    }
    let reply = result("CopyPartResult", &part.etag);
    let number = request.value("partNumber").unwrap().parse().unwrap();
    upload(world, request)?.parts.insert(number, part);
    Ok(reply)
}

pub(super) fn list_parts(world: &mut World, request: &Recorded) -> Outcome {
    let page = world.page.unwrap_or(1000);
    let marker = request.value("part-number-marker").unwrap_or("0");
    let marker: u32 = marker.parse().unwrap();
    let parts = &upload(world, request)?.parts;
    let mut inside = String::new();
    let mut last = marker;
    for (number, part) in parts.range(marker + 1..).take(page) {
        let size = part.last + 1 - part.first;
        let _ = write!(
            inside,
            "<Part><PartNumber>{number}</PartNumber><ETag>\"{}\"</ETag><Size>{size}</Size></Part>",
            part.etag
        );
        last = *number;
    }
    let more = parts.range(last + 1..).next().is_some();
    let _ = write!(
        inside,
        "<NextPartNumberMarker>{last}</NextPartNumberMarker><IsTruncated>{more}</IsTruncated>"
    );
    Ok(Reply::document(
        200,
        xml::document("ListPartsResult", &inside),
    ))
}

pub(super) fn complete(world: &mut World, request: &Recorded) -> Outcome {
    let body = std::str::from_utf8(&request.body).unwrap();
    let numbers = xml::texts(body, "PartNumber");
    let etags = xml::texts(body, "ETag");
    let upload = upload(world, request)?;
    let mut parts = Vec::new();
    for (number, etag) in numbers.iter().zip(&etags) {
        let part = upload.parts.get(&number.parse().unwrap());
        let part = part.filter(|part| part.etag == etag.trim_matches('"'));
        parts.push(part.ok_or((400, "InvalidPart"))?);
    }
    let mut object = upload.object.clone();
    object.content = joined(&parts).ok_or((400, "InvalidPartOrder"))?;
    object.etag = format!("{}-{}", md5_hex(etags.concat().as_bytes()), parts.len());
    let etag = world.store(&request.bucket, &request.key, object);
    let reply = result("CompleteMultipartUploadResult", &etag);
    let id = request.value("uploadId").unwrap();
    bucket(world, request).uploads.remove(id);
    Ok(reply)
}

/// The parts' common source if they cover all of it; no test joins anything else.
fn joined(parts: &[&Part]) -> Option<Content> {
    let content = &parts.first()?.content;
    let mut next = 0;
    for part in parts {
        if part.content != *content || part.first != next {
            return None;
        }
        next = part.last + 1;
    }
    (next == content.size()).then(|| content.clone())
}

pub(super) fn abort(world: &mut World, request: &Recorded) -> Outcome {
    upload(world, request)?;
    let id = request.value("uploadId").unwrap();
    bucket(world, request).uploads.remove(id);
    Ok(Reply::status(204))
}
