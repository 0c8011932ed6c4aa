//! What a directory may hold to mislead a reader, and what a path may ask for.

use super::{super::encoding::detect, *};

#[test]
fn a_grant_is_the_directory_and_not_its_name() {
    let folder = Folder::new();
    let directories = folder.grant();
    fs::rename(folder.path("in"), folder.path("moved")).unwrap();
    fs::create_dir(folder.path("in")).unwrap();
    fs::write(folder.path("in/a.txt"), "another").unwrap();
    assert_eq!(read(&directories, "in/a.txt").unwrap().text, "one\ntwo\nthree\n");
    // The last grant of a name counts.
    let again = directories.clone().grant("in", folder.path("in")).unwrap();
    assert_eq!(read(&again, "in/a.txt").unwrap().text, "another");
    assert_eq!(read(&directories, "in/a.txt").unwrap().text, "one\ntwo\nthree\n", "clones keep what they had");
    fs::remove_dir_all(folder.path("moved")).unwrap();
    assert!(matches!(read(&directories, "in/a.txt"), Err(FileError::NotFound)));
    assert!(directories.list(&directory("in")).is_ok_and(|listing| listing.entries.is_empty()));
}

#[test]
fn long_names_are_not_there() {
    let folder = Folder::new();
    let directories = folder.grant();
    for name in ["n".repeat(256), "n".repeat(100_000), "é".repeat(200), "d/".repeat(3_000) + "f"] {
        let path = format!("in/{name}");
        let error = read(&directories, &path).unwrap_err();
        assert!(matches!(error, FileError::NotFound), "{} bytes: {error:?}", path.len());
        let error = directories.list(&directory(&path)).unwrap_err();
        assert!(matches!(error, FileError::NotFound), "{} bytes: {error:?}", path.len());
    }
    let first = "n".repeat(100_000);
    assert!(matches!(read(&directories, &first), Err(FileError::Unknown(names)) if names == "in"));
}

#[cfg(unix)]
#[test]
fn links_to_what_is_no_file_are_not_followed_into_it() {
    use rustix::fs::{CWD, FileType as Type, Mode, mknodat};
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    mknodat(CWD, folder.path("in/pipe"), Type::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    symlink("pipe", folder.path("in/to_pipe")).unwrap();
    symlink("sub", folder.path("in/to_sub")).unwrap();
    symlink("/dev/zero", folder.path("in/to_zero")).unwrap();
    symlink("", folder.path("in/empty")).unwrap_or_default();
    symlink("nowhere", folder.path("in/dangling")).unwrap();
    symlink("/dev/fd/0", folder.path("in/stdin")).unwrap();
    let directories = folder.grant();
    assert!(matches!(read(&directories, "in/to_pipe"), Err(FileError::NotFile)));
    assert!(matches!(read(&directories, "in/to_sub"), Err(FileError::NotFile)));
    assert!(matches!(read(&directories, "in/to_zero"), Err(FileError::Outside)));
    assert!(matches!(read(&directories, "in/stdin"), Err(FileError::Outside)));
    assert!(matches!(read(&directories, "in/dangling"), Err(FileError::NotFound)));
    assert_eq!(
        read(&directories, "in/to_sub/b.txt").unwrap().text,
        "b",
        "a link within the grant is a path as any other"
    );
}

/// A hard link is the file itself, and nothing can tell where it was made: who may write into a granted directory decides what is in
/// it. That it can be read is said in the documentation.
#[cfg(unix)]
#[test]
fn hard_links_are_files_of_the_directory() {
    let folder = Folder::new();
    fs::hard_link(folder.path("out/secret.txt"), folder.path("in/linked.txt")).unwrap();
    assert_eq!(read(&folder.grant(), "in/linked.txt").unwrap().text, "secret");
}

/// Files that lie about their size, never end, or are doors to elsewhere.
#[cfg(target_os = "linux")]
#[test]
fn the_process_file_system_has_no_way_out() {
    let Ok(directories) = Directories::new().grant("proc", "/proc/self") else { return };
    // Its size is 0 and its text is not.
    let status = read(&directories, "proc/status").unwrap();
    assert!(status.text.contains("Pid:") && status.next.is_none(), "{status:?}");
    for path in ["proc/root/etc/passwd", "proc/cwd/Cargo.toml", "proc/exe", "proc/root", "proc/cwd"] {
        assert!(read(&directories, path).is_err(), "{path}");
        assert!(directories.list(&directory(path)).is_err(), "{path}");
    }
    for path in ["proc/mem", "proc/clear_refs", "proc/ns/net", "proc/task", "proc/fd/0", "proc/fdinfo"] {
        assert!(read(&directories, path).is_err(), "{path}");
    }
    let listing = directories.list(&ListDirectory { depth: Some(2), ..directory("proc") }).unwrap();
    assert!((50..=Directories::MAX_ENTRIES).contains(&listing.entries.len()), "{listing:?}");
}

/// A directory of any size is listed page by page, and so is its parent.
#[test]
fn a_directory_of_many_entries_is_listed_in_pages() {
    const MANY: usize = 30_000;
    let folder = Folder::new();
    let many = folder.path("in/sub");
    // One file under many names, where the system has that.
    let first = many.join("b.txt");
    for name in 0..MANY {
        let path = many.join(format!("{name:05}"));
        if fs::hard_link(&first, &path).is_err() {
            fs::write(path, "").unwrap();
        }
    }
    let directories = folder.grant();
    let page = directories.list(&directory("in/sub")).unwrap();
    assert_eq!((page.entries.len(), page.next.as_deref()), (Directories::MAX_ENTRIES, Some("in/sub/00199")));
    let last = ListDirectory { after: Some("in/sub/29990".into()), ..directory("in/sub") };
    let last = directories.list(&last).unwrap();
    assert_eq!((last.entries.len(), last.entries[9].path.as_str(), last.next), (10, "in/sub/b.txt", None));
    let parent = directories.list(&ListDirectory { depth: Some(2), ..directory("in") }).unwrap();
    assert_eq!((parent.entries[1].path.as_str(), parent.next.as_deref()), ("in/sub", Some("in/sub/00197")));
    assert_eq!(directories.list(&directory("in")).unwrap().entries.len(), 2);
    assert_eq!(read(&directories, "in/sub/00007").unwrap().text, "b");
}

/// A file that is written to, cut and replaced while it is read is read as some text of its time.
#[test]
fn files_that_change_while_they_are_read() {
    let folder = Folder::new();
    let directories = folder.grant();
    let path = folder.path("in/log");
    fs::write(&path, "").unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while !done.load(Ordering::Relaxed) {
                fs::write(&path, "line é\n".repeat(round % 20_000)).unwrap();
                round += 997;
            }
        });
        for _ in 0..200 {
            match directories.read(&ReadFile { line: Some(100), ..file("in/log") }) {
                Ok(page) => assert!(page.text.len() <= Directories::MAX_TEXT && page.text.starts_with(['l', 'i', 'n'])),
                Err(error) => assert!(matches!(error, FileError::Beyond | FileError::NotFound), "{error:?}"),
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn broken_encodings_are_read_as_far_as_they_go() {
    let lone = bytes(b"\xff\xfea\0\x00\xd8b\0").unwrap();
    assert_eq!((lone.encoding, lone.text.as_str(), lone.replaced), ("UTF-16LE", "a\u{fffd}b", true));
    let odd = bytes(b"\xfe\xff\0a\0b\0").unwrap();
    assert!(odd.text.starts_with("ab") && odd.replaced, "{odd:?}");
    // A mark in the middle is a character, a mark alone is an empty text.
    assert_eq!(bytes(b"a\xef\xbb\xbfb").unwrap().text, "a\u{feff}b");
    for mark in [b"\xef\xbb\xbf".as_slice(), b"\xff\xfe", b"\xfe\xff"] {
        assert_eq!(bytes(mark).unwrap().text, "");
    }
    // Every byte alone, and every pair with a high byte: text, or a typed refusal.
    for first in 0..=255_u8 {
        for content in [vec![first], vec![first, 0x80], vec![first, b'a', first]] {
            match detect(&content, true) {
                Ok(_) | Err(FileError::Binary(_)) => {}
                Err(other) => panic!("{content:?}: {other:?}"),
            }
        }
    }
}
