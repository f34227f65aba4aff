//! Maps a request to its operation and checks what every operation requires.

use bytes::Bytes;
use http::Method;

use super::request::Recorded;
use super::world::{World, md5_base64};
use super::{copying, objects};

/// The response; `Err` is a status and a code.
pub(super) type Outcome = Result<Reply, (u16, &'static str)>;

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(super) fn document(status: u16, document: String) -> Self {
        Self {
            body: Bytes::from(document),
            ..Self::status(status)
        }
        .header("content-type", "application/xml")
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// The effect of an accepted request.
pub(super) type Effect = Box<dyn FnOnce(&mut World) -> Outcome + Send>;

/// Carries out a request whose signature was checked.
pub(super) fn carry_out(world: &mut World, request: &Recorded) -> Outcome {
    check(world, request)?;
    act(world, request)
}

/// Accepts a request whose signature was checked, to be carried out later. A copy reads its
/// source now; every other operation sees the world as it is later.
pub(super) fn accept(world: &mut World, request: &Recorded) -> Result<Effect, (u16, &'static str)> {
    check(world, request)?;
    let request = request.clone();
    if !request.is_copy() {
        return Ok(Box::new(move |world| act(world, &request)));
    }
    if request.has("partNumber") {
        let part = copying::read_part(world, &request)?;
        return Ok(Box::new(move |world| {
            copying::add_part(world, &request, part)
        }));
    }
    let copied = copying::read(world, &request)?;
    Ok(Box::new(move |world| {
        Ok(copying::write(world, &request, copied))
    }))
}

fn check(world: &World, request: &Recorded) -> Result<(), (u16, &'static str)> {
    check_frame(request)?;
    if world.buckets.contains_key(&request.bucket) {
        Ok(())
    } else {
        Err((404, "NoSuchBucket"))
    }
}

fn act(world: &mut World, request: &Recorded) -> Outcome {
    let on_bucket = request.key.is_empty();
    match (&request.method, on_bucket, subresource(request)?) {
        (&Method::HEAD, true, "") => Ok(objects::head_bucket(world, request)),
        (&Method::GET, true, "") => Ok(objects::list(world, request)),
        (&Method::GET, true, "uploads") => Ok(copying::list_uploads(world, request)),
        (&Method::POST, true, "delete") => objects::delete_many(world, request),
        (&Method::HEAD, false, "") => objects::head(world, request),
        (&Method::GET, false, "") => objects::get(world, request),
        (&Method::DELETE, false, "") => Ok(objects::delete(world, request)),
        (&Method::PUT, false, "") if request.is_copy() => copying::copy(world, request),
        (&Method::PUT, false, "") => objects::put(world, request),
        (&Method::GET, false, "acl") => objects::get_acl(world, request),
        (&Method::PUT, false, "acl") => objects::put_acl(world, request),
        (_, false, "tagging") => objects::tagging(world, request),
        (&Method::PUT, false, "metadata") => objects::put_metadata(world, request),
        (&Method::POST, false, "rename") => objects::rename(world, request),
        (&Method::POST, false, "uploads") => copying::initiate(world, request),
        (&Method::GET, false, "uploadId") => copying::list_parts(world, request),
        (&Method::PUT, false, "uploadId") => copying::copy_part(world, request),
        (&Method::POST, false, "uploadId") => copying::complete(world, request),
        (&Method::DELETE, false, "uploadId") => copying::abort(world, request),
        _ => Err((405, "MethodNotAllowed")),
    }
}

/// The operation's parameter; refuses parameters that OBS does not document for it.
fn subresource(request: &Recorded) -> Result<&'static str, (u16, &'static str)> {
    const OPERATIONS: [(&str, &[&str]); 8] = [
        (
            "uploads",
            &["prefix", "max-uploads", "key-marker", "upload-id-marker"],
        ),
        (
            "uploadId",
            &["partNumber", "max-parts", "part-number-marker"],
        ),
        ("rename", &["name"]),
        ("acl", &[]),
        ("tagging", &[]),
        ("metadata", &[]),
        ("delete", &[]),
        (
            "",
            &[
                "prefix",
                "marker",
                "max-keys",
                "delimiter",
                "AccessKeyId",
                "Expires",
                "Signature",
                "x-obs-security-token",
            ],
        ),
    ];
    let found = OPERATIONS
        .iter()
        .find(|(name, _)| name.is_empty() || request.has(name));
    let (operation, allowed) = found.unwrap();
    let known = |name: &str| name == *operation || allowed.contains(&name);
    if request.query.iter().all(|(name, _)| known(name)) {
        Ok(operation)
    } else {
        Err((400, "InvalidArgument"))
    }
}

fn check_frame(request: &Recorded) -> Result<(), (u16, &'static str)> {
    let writes = matches!(request.method, Method::PUT | Method::POST);
    if writes && request.header("content-length").is_none() {
        return Err((411, "MissingContentLength"));
    }
    let digest = request.header("content-md5");
    if digest.is_some_and(|digest| digest != md5_base64(&request.body)) {
        return Err((400, "BadDigest"));
    }
    let demanded =
        request.has("delete") || (request.has("tagging") && request.method == Method::PUT);
    if demanded && digest.is_none() {
        return Err((400, "InvalidRequest"));
    }
    Ok(())
}
