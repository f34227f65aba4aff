//! Lists the playlist tags and attributes that name objects: those of RFC 8216, of its second
//! edition (draft-pantos-hls-rfc8216bis), and of the drafts that recorders follow for images
//! (EXT-X-IMAGE-STREAM-INF) and early segments (EXT-X-PREFETCH).

use super::playlist::{Need, Role};

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

/// What this attribute names, if anything. Both in upper case, the tag without `EXT-X-`.
pub(super) fn naming(tag: &str, attribute: &str) -> Option<Naming> {
    Some(match (tag, attribute) {
        ("KEY" | "SESSION-KEY", "URI") => part(Role::Key),
        ("STREAM-INF" | "I-FRAME-STREAM-INF" | "IMAGE-STREAM-INF" | "MEDIA", "URI") => {
            part(Role::Playlist)
        }
        // Another rendition. If it is part of the recording, the main playlist lists it too.
        ("RENDITION-REPORT", "URI") => hint(Role::Playlist),
        ("PRELOAD-HINT", "URI") | ("DATERANGE", "X-URI") => hint(Role::Other),
        (_, "URI" | "SERVER-URI" | "X-ASSET-URI" | "X-ASSET-LIST") => part(Role::Other),
        // A vendor's attribute with an unknown meaning.
        (_, other) if other.split('-').any(|word| word == "URI") => hint(Role::Other),
        _ => return None,
    })
}

/// Whether a playlist with this tag is a master playlist.
pub(super) fn lists_playlists(tag: &str) -> bool {
    matches!(
        tag,
        "STREAM-INF" | "I-FRAME-STREAM-INF" | "IMAGE-STREAM-INF" | "MEDIA"
    )
}

/// Whether this tag is malformed without a URI. Not called for a key with METHOD=NONE.
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
