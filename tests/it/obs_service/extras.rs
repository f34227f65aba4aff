//! The metadata, tags and ACL of each object in a set survive its move.

use crate::support::obs_recording::ObsRecording;
use crate::support::obs_service::ObsService;

#[tokio::test]
async fn key_stays_private_and_encrypted_next_to_public_segments() {
    let obs_service = ObsService::new(|_| ObsRecording::guarded_hls()).await;
    obs_service.play("guarded").await;
    obs_service.assert_done("guarded");
}

#[tokio::test]
async fn segments_share_one_acl_request_and_other_objects_get_one_each() {
    let obs_service = ObsService::new(|_| ObsRecording::guarded_hls()).await;
    obs_service.play("guarded").await;
    let lines = obs_service.obs.lines(0);
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
