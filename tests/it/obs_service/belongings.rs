//! The metadata, tags and ACL of each object in a set survive its move.

use crate::support::stage::Stage;
use crate::support::take::Take;

#[tokio::test]
async fn key_stays_private_and_encrypted_next_to_public_segments() {
    let stage = Stage::new(|_| Take::guarded_hls()).await;
    stage.play("guarded").await;
    stage.assert_done("guarded");
}

#[tokio::test]
async fn segments_share_one_acl_request_and_other_objects_get_one_each() {
    let stage = Stage::new(|_| Take::guarded_hls()).await;
    stage.play("guarded").await;
    let lines = stage.obs.lines(0);
    let mut asked: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("GET recorded/r/x/")?.strip_suffix("?acl"))
        .collect();
    asked.sort_unstable();
    assert_eq!(
        asked,
        [
            "0.vtt", "1.m4s", "a.m3u8", "a.mp4", "c.m3u8", "v.m3u8", "z.key"
        ]
    );
}
