//! Writes small recordings: an MP4 file and an HLS set.
//!
//! The containers are valid but empty: an MP4 of one second without tracks, and transport streams
//! of null packets.

use std::fs;
use std::io;
use std::path::Path;

/// Size of a transport stream packet in bytes.
const TS_PACKET: usize = 188;

/// Writes an MP4 recording and returns its size in bytes.
pub(super) fn write_mp4(path: &Path) -> io::Result<u64> {
    let content = [
        mp4_box(*b"ftyp", b"isom\0\0\x02\0isomiso2mp41"),
        movie(),
        mp4_box(*b"mdat", &[0; 4096]),
    ]
    .concat();
    write(path, &content)?;
    Ok(content.len() as u64)
}

/// Writes an HLS recording: the playlist, and `segments` ten-second segments next to it. Returns
/// the media's size in bytes.
pub(super) fn write_hls(playlist: &Path, segments: u32) -> io::Result<u64> {
    let mut text = String::from(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:0\n",
    );
    let mut bytes = 0;
    for number in 0..segments {
        // The recorder names segments by their times, not after the playlist.
        let name = format!(
            "{}_{}_{number}.ts",
            1_772_413_200 + number * 10,
            1_772_413_210 + number * 10
        );
        let content = null_packets(10 + number as usize);
        write(&playlist.with_file_name(&name), &content)?;
        bytes += content.len() as u64;
        text.push_str("#EXTINF:10.000,\n");
        text.push_str(&name);
        text.push('\n');
    }
    text.push_str("#EXT-X-ENDLIST\n");
    write(playlist, text.as_bytes())?;
    Ok(bytes)
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content)
}

/// A `moov` box with the movie header alone (ISO/IEC 14496-12, 8.2.2, version 0).
fn movie() -> Vec<u8> {
    let mut header = vec![0; 100];
    header[12..16].copy_from_slice(&1000u32.to_be_bytes()); // timescale: milliseconds
    header[16..20].copy_from_slice(&1000u32.to_be_bytes()); // duration
    header[20..24].copy_from_slice(&0x0001_0000u32.to_be_bytes()); // rate 1.0
    header[24..26].copy_from_slice(&0x0100u16.to_be_bytes()); // volume 1.0
    for (offset, unit) in [(36, 0x0001_0000u32), (52, 0x0001_0000), (68, 0x4000_0000)] {
        header[offset..offset + 4].copy_from_slice(&unit.to_be_bytes()); // unity matrix
    }
    header[96..100].copy_from_slice(&1u32.to_be_bytes()); // next track
    mp4_box(*b"moov", &mp4_box(*b"mvhd", &header))
}

fn mp4_box(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len() + 8).expect("the demo's boxes are small");
    [&size.to_be_bytes()[..], &kind, content].concat()
}

fn null_packets(count: usize) -> Vec<u8> {
    let mut packet = [0xff; TS_PACKET];
    packet[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
    packet.repeat(count)
}
