//! Which tags and attributes of a playlist name something: those of RFC 8216, of its second
//! edition (draft-pantos-hls-rfc8216bis), and of the drafts that recorders follow, for images
//! (EXT-X-IMAGE-STREAM-INF) and early segments (EXT-X-PREFETCH).

use super::playlist::{Need, Role};

/// What an attribute names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Naming {
    pub(super) role: Role,
    pub(super) need: Need,
}

const fn part(role: Role) -> Naming {
    let need = Need::Required;
    Naming { role, need }
}

const fn hint(role: Role) -> Naming {
    let need = Need::Optional;
    Naming { role, need }
}

/// What the attribute of this tag names; `None` for an attribute that names nothing. Both are
/// in upper case, the tag without `EXT-X-`.
pub(super) fn naming(tag: &str, attribute: &str) -> Option<Naming> {
    Some(match (tag, attribute) {
        ("KEY" | "SESSION-KEY", "URI") => part(Role::Key),
        ("STREAM-INF" | "I-FRAME-STREAM-INF" | "IMAGE-STREAM-INF" | "MEDIA", "URI") => {
            part(Role::Playlist)
        }
        // Another rendition. That of a recording is listed by its main playlist, too.
        ("RENDITION-REPORT", "URI") => hint(Role::Playlist),
        ("PRELOAD-HINT", "URI") | ("DATERANGE", "X-URI") => hint(Role::Other),
        (_, "URI" | "SERVER-URI" | "X-ASSET-URI" | "X-ASSET-LIST") => part(Role::Other),
        // A vendor's own: what it means is not known.
        (_, other) if other.split('-').any(|word| word == "URI") => hint(Role::Other),
        _ => return None,
    })
}

/// Whether this tag of a playlist makes it one that lists playlists.
pub(super) fn lists_playlists(tag: &str) -> bool {
    matches!(
        tag,
        "STREAM-INF" | "I-FRAME-STREAM-INF" | "IMAGE-STREAM-INF" | "MEDIA"
    )
}

/// Whether a tag is broken that names nothing. A key with METHOD=NONE is not asked for.
pub(super) fn must_name(tag: &str) -> bool {
    matches!(
        tag,
        "KEY"
            | "SESSION-KEY"
            | "MAP"
            | "PART"
            | "PRELOAD-HINT"
            | "RENDITION-REPORT"
            | "I-FRAME-STREAM-INF"
            | "IMAGE-STREAM-INF"
            | "CONTENT-STEERING"
    )
}
