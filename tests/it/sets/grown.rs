//! A recording that was moved, is recorded again, and moves again: to another name in its folder,
//! or out of it.

use super::scene::{Scene, objects, playlist};

/// Moves a recording of two segments, lets it grow to three, and moves it again.
async fn grow(first: &str, second: &str) -> Scene {
    let scene = Scene::new(&[("a", first), ("b", second)]).await;
    let begun = playlist(&["1.ts", "2.ts"]);
    scene.put_all(&[("r/i.m3u8", &begun), ("r/1.ts", "1"), ("r/2.ts", "2")]);
    scene.moves("r/i.m3u8", "a").await;
    let grown = playlist(&["1.ts", "2.ts", "3.ts"]);
    scene.put_all(&[("r/i.m3u8", &grown), ("r/3.ts", "3")]);
    scene.moves("r/i.m3u8", "b").await;
    scene
}

#[tokio::test]
async fn recording_that_grew_is_whole_and_at_one_place_wherever_it_is_renamed_to() {
    let grown = playlist(&["1.ts", "2.ts", "3.ts"]);
    for (first, second, folder, name) in [
        ("kept/a.m3u8", "r/b.m3u8", "r", "b"),
        ("r/a.m3u8", "r/b.m3u8", "r", "b"),
        ("r/a.m3u8", "kept/b.m3u8", "kept", "b"),
        ("kept/a.m3u8", "kept/b.m3u8", "kept", "b"),
        ("kept/a.m3u8", "other/b.m3u8", "other", "b"),
    ] {
        let scene = grow(first, second).await;
        let at = |name: &str| format!("{folder}/{name}");
        let expected = [
            (&*at(&format!("{name}.m3u8")), &*grown),
            (&at("1.ts"), "1"),
            (&at("2.ts"), "2"),
            (&at("3.ts"), "3"),
        ];
        assert_eq!(scene.objects(), objects(&expected), "{first}, {second}");
    }
}

/// What it shared, or its recorder wrote again, is taken from where it was recorded. The copies next
/// to its earlier playlist are deleted, unless another playlist there names them.
#[tokio::test]
async fn recording_that_grew_leaves_no_copies_where_it_was() {
    for is_named in [false, true] {
        let rules = [
            ("a", "kept/a.m3u8"),
            ("b", "new/b.m3u8"),
            ("c", "kept/c.m3u8"),
        ];
        let scene = Scene::new(&rules).await;
        let (begun, other) = (playlist(&["0.ts", "1.ts"]), playlist(&["0.ts", "2.ts"]));
        scene.put_all(&[("r/0.ts", "0"), ("r/1.ts", "1"), ("r/2.ts", "2")]);
        scene.put_all(&[("r/i.m3u8", &begun), ("r/j.m3u8", &other)]);
        scene.moves("r/i.m3u8", "a").await;
        if is_named {
            scene.moves("r/j.m3u8", "c").await;
            scene.put("r/0.ts", "0");
        }
        let grown = playlist(&["0.ts", "1.ts", "3.ts"]);
        scene.put_all(&[("r/i.m3u8", &grown), ("r/3.ts", "3")]);
        scene.moves("r/i.m3u8", "b").await;
        let (folder, name) = if is_named { ("kept", "c") } else { ("r", "j") };
        let at = |name: &str| format!("{folder}/{name}");
        let expected = [
            ("new/b.m3u8", &*grown),
            ("new/0.ts", "0"),
            ("new/1.ts", "1"),
            ("new/3.ts", "3"),
            (&*at(&format!("{name}.m3u8")), &other),
            (&at("0.ts"), "0"),
            (&at("2.ts"), "2"),
        ];
        assert_eq!(scene.objects(), objects(&expected), "{is_named}");
    }
}

#[tokio::test]
async fn object_already_in_place_is_neither_copied_nor_journalled() {
    let scene = Scene::new(&[("a", "r/a.m3u8"), ("b", "r/b.m3u8")]).await;
    let names: Vec<String> = (0..2_050).map(|number| format!("{number}.ts")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let keys: Vec<String> = names.iter().map(|name| format!("r/{name}")).collect();
    for (key, content) in keys.iter().zip(&names) {
        scene.put(key, content);
    }
    let begun = playlist(&names[..2_049]);
    scene.put("r/i.m3u8", &begun);
    scene.moves("r/i.m3u8", "a").await;
    assert_eq!(scene.copied(), ["r/a.m3u8"]);
    let shown = scene.test_service.only();
    assert_eq!(shown.moves.len(), 1);

    let grown = playlist(&names);
    scene.put("r/i.m3u8", &grown);
    scene.moves("r/i.m3u8", "b").await;
    assert_eq!(scene.copied(), ["r/a.m3u8", "r/b.m3u8"]);
    let objects = scene.objects();
    assert_eq!(objects.len(), 2_051);
    assert_eq!(objects["r/b.m3u8"], grown);
}

/// A playlist under an earlier name that names more, or is different, is another recording.
#[tokio::test]
async fn playlist_of_an_earlier_name_that_holds_more_stays() {
    let scene = Scene::new(&[("a", "r/a.m3u8"), ("b", "r/b.m3u8")]).await;
    let begun = playlist(&["1.ts", "2.ts"]);
    scene.put_all(&[("r/i.m3u8", &begun), ("r/1.ts", "1"), ("r/2.ts", "2")]);
    scene.moves("r/i.m3u8", "a").await;
    let other = playlist(&["1.ts"]);
    scene.put("r/i.m3u8", &other);
    scene.moves("r/i.m3u8", "b").await;
    let expected = [
        ("r/a.m3u8", &*begun),
        ("r/b.m3u8", &other),
        ("r/1.ts", "1"),
        ("r/2.ts", "2"),
    ];
    assert_eq!(scene.objects(), objects(&expected));
}

#[tokio::test]
async fn playlist_is_not_renamed_in_its_folder_while_its_segments_are_missing() {
    let scene = Scene::new(&[("a", "r/a.m3u8")]).await;
    let text = playlist(&["1.ts", "2.ts"]);
    scene.put_all(&[("r/i.m3u8", &text), ("r/2.ts", "2")]);
    let before = scene.objects();
    let (state, why) = scene.play("r/i.m3u8", "a").await;
    assert_eq!(state, "dead");
    assert!(why.contains("recorded/r/1.ts"), "{why}");
    assert_eq!(scene.objects(), before);
}

/// A playlist cannot take the key of a part that it names.
#[tokio::test]
async fn playlist_does_not_replace_what_it_names() {
    let scene = Scene::new(&[("a", "r/1.ts")]).await;
    scene.put_all(&[("r/i.m3u8", &playlist(&["1.ts"])), ("r/1.ts", "1")]);
    let before = scene.objects();
    assert_eq!(scene.play("r/i.m3u8", "a").await.0, "dead");
    assert_eq!(scene.objects(), before);
}
