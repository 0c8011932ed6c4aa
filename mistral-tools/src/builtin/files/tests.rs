mod hostile;

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::{
    outcome::reply::Reply,
    tool::{Invocation, Tool},
};

/// A folder of its own for each test, with `in` to be granted and `out` beside it; removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mistral-tools-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("in/sub")).unwrap();
        fs::create_dir_all(path.join("out")).unwrap();
        fs::write(path.join("out/secret.txt"), "secret").unwrap();
        fs::write(path.join("in/a.txt"), "one\ntwo\nthree\n").unwrap();
        fs::write(path.join("in/sub/b.txt"), "b").unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn grant(&self) -> Directories {
        Directories::new().grant("in", self.path("in")).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn file(path: &str) -> ReadFile {
    ReadFile { path: path.into(), ..ReadFile::default() }
}

fn directory(path: &str) -> ListDirectory {
    ListDirectory { path: path.into(), ..ListDirectory::default() }
}

fn read(directories: &Directories, path: &str) -> Result<FileText, FileError> {
    directories.read(&file(path))
}

/// What bytes are read as.
fn bytes(content: &[u8]) -> Result<FileText, FileError> {
    let folder = Folder::new();
    fs::write(folder.path("in/file"), content).unwrap();
    read(&folder.grant(), "in/file")
}

#[test]
fn paths_stay_inside() {
    let folder = Folder::new();
    let directories = folder.grant();
    for path in ["in/a.txt", "in//a.txt", "./in/./a.txt", "in/sub/b.txt"] {
        assert!(read(&directories, path).is_ok(), "{path}");
    }
    let absolute = folder.path("out/secret.txt");
    for path in [
        "in/../out/secret.txt",
        "in/sub/../../out/secret.txt",
        "../out/secret.txt",
        "..",
        "/etc/passwd",
        "//in/a.txt",
        "in/a.txt\0",
        absolute.to_str().unwrap(),
    ] {
        assert!(
            read(&directories, path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied || cfg!(windows)),
            "{path}"
        );
        assert!(directories.list(&directory(path)).is_err(), "{path}");
    }
    assert!(matches!(read(&directories, "etc/passwd"), Err(FileError::Unknown(names)) if names == "in"));
    assert!(matches!(read(&directories, "in/none.txt"), Err(FileError::NotFound)));
    assert!(matches!(read(&directories, "in/a.txt/b"), Err(FileError::NotDirectory | FileError::NotFound)));
    for path in ["", "in", "in/sub", "in/sub/"] {
        assert!(matches!(read(&directories, path), Err(FileError::NotFile)), "{path}");
    }
    assert!(matches!(directories.list(&directory("in/a.txt")), Err(FileError::NotDirectory | FileError::Io(_))));
    let long = format!("in/{}", "a/".repeat(100_000));
    assert!(read(&directories, &long).is_err());
    for name in ["", ".", "..", "a/b", "a\\b", "c:", "\0"] {
        assert!(Directories::new().grant(name, folder.path("in")).is_err(), "{name:?}");
    }
}

#[cfg(unix)]
#[test]
fn links_do_not_lead_out() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    let inside = folder.path("in");
    symlink(folder.path("out/secret.txt"), inside.join("absolute")).unwrap();
    symlink("../out/secret.txt", inside.join("relative")).unwrap();
    symlink("../../out", inside.join("sub/up")).unwrap();
    symlink("..", inside.join("parent")).unwrap();
    symlink("loop", inside.join("loop")).unwrap();
    symlink("two", inside.join("one")).unwrap();
    symlink("one", inside.join("two")).unwrap();
    symlink("/proc/self/root/etc/passwd", inside.join("magic")).unwrap();
    symlink("a.txt", inside.join("good")).unwrap();
    let directories = folder.grant();
    assert_eq!(read(&directories, "in/good").unwrap().text, "one\ntwo\nthree\n");
    for path in ["in/absolute", "in/relative", "in/sub/up/secret.txt", "in/parent/out/secret.txt", "in/magic"] {
        assert!(matches!(read(&directories, path), Err(FileError::Outside)), "{path}: {:?}", read(&directories, path));
    }
    for path in ["in/loop", "in/one"] {
        let error = read(&directories, path).unwrap_err();
        assert!(matches!(error, FileError::LinkLoop), "{path}: {error:?}");
        assert_eq!(error.kind(), ErrorKind::InvalidArguments, "no fault of the tool, whose breaker would open");
    }
    for path in ["in/sub/up", "in/parent"] {
        assert!(matches!(directories.list(&directory(path)), Err(FileError::Outside)), "{path}");
    }
    let deep = ListDirectory { path: "in".into(), depth: Some(8), after: None };
    let listing = directories.list(&deep).unwrap();
    assert!(listing.entries.iter().all(|entry| !entry.path.contains("secret")), "{listing:?}");
    assert_eq!(listing.entries.iter().filter(|entry| entry.kind == EntryKind::Link).count(), 9);

    // The error that the model reads names no place of the host.
    let tool = directories.read_tool().build().unwrap();
    let mut reply = Reply::new();
    let outcome = tool.call(&Invocation::default(), br#"{"path": "in/absolute"}"#, &mut reply);
    assert_eq!(outcome.error_kind(), Some(ErrorKind::PermissionDenied));
    assert_eq!(reply.as_str(), "Error (permission denied): the path leaves the directories that may be read");
}

/// While one thread swaps a file and a directory for links out of the grant, the other never sees what is outside.
#[cfg(unix)]
#[test]
fn what_is_swapped_while_it_is_read_stays_inside() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    let directories = folder.grant();
    let (target, spare) = (folder.path("in/swap"), folder.path("in/spare"));
    fs::create_dir(&target).unwrap();
    fs::write(target.join("secret.txt"), "harmless").unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                fs::rename(&target, &spare).unwrap();
                symlink(folder.path("out"), &target).unwrap();
                fs::remove_file(&target).unwrap();
                fs::rename(&spare, &target).unwrap();
            }
        });
        for _ in 0..2_000 {
            match read(&directories, "in/swap/secret.txt") {
                Ok(found) => assert_eq!(found.text, "harmless"),
                Err(error) => assert!(!matches!(error, FileError::Binary(_)), "{error:?}"),
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[cfg(unix)]
#[test]
fn nothing_is_waited_for() {
    use rustix::fs::{CWD, FileType as Type, Mode, mknodat};
    let folder = Folder::new();
    mknodat(CWD, folder.path("in/pipe"), Type::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path("in/socket")).unwrap();
    let directories = folder.grant();
    for path in ["in/pipe", "in/socket"] {
        assert!(matches!(read(&directories, path), Err(FileError::NotFile)), "{path}");
        assert!(directories.list(&directory(path)).is_err(), "{path}");
    }
    let kinds: Vec<_> =
        directories.list(&directory("in")).unwrap().entries.into_iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::File, EntryKind::Other, EntryKind::Other, EntryKind::Directory]);
    // Swapped in between the look and the opening, a pipe is opened without waiting for a writer.
    let (file_path, pipe) = (folder.path("in/a.txt"), folder.path("in/pipe"));
    let spare = folder.path("in/spare");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                fs::rename(&file_path, &spare).unwrap();
                fs::rename(&pipe, &file_path).unwrap();
                fs::rename(&file_path, &pipe).unwrap();
                fs::rename(&spare, &file_path).unwrap();
            }
        });
        for _ in 0..2_000 {
            match read(&directories, "in/a.txt") {
                Ok(found) => assert_eq!(found.text, "one\ntwo\nthree\n"),
                Err(error) => assert!(matches!(error, FileError::NotFile | FileError::NotFound), "{error:?}"),
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    if std::path::Path::new("/dev/zero").exists() {
        let devices = Directories::new().grant("dev", "/dev").unwrap();
        for path in ["dev/zero", "dev/null", "dev/random", "dev/tty"] {
            assert!(read(&devices, path).is_err(), "{path}");
        }
    }
}

#[test]
fn pages_put_together_are_the_file() {
    let folder = Folder::new();
    let lines: String = (0..20_000).map(|line| format!("line {line} é\n")).collect();
    let long = "zé𝄞".repeat(40_000) + "\nend";
    for content in [lines.as_str(), long.as_str(), "", "\n", "x", "\r\n\r\n"] {
        fs::write(folder.path("in/file"), content).unwrap();
        for lines in [None, Some(1_500)] {
            let directories = folder.grant();
            let mut arguments = ReadFile { lines, ..file("in/file") };
            let mut whole = String::new();
            loop {
                let page = directories.read(&arguments).unwrap();
                assert!(page.text.len() <= Directories::MAX_TEXT);
                whole += &page.text;
                let Some(next) = page.next else { break };
                (arguments.line, arguments.column) = (Some(next.line), Some(next.column));
            }
            assert!(whole == content);
        }
    }
    let directories = folder.grant();
    let part = |line, lines| directories.read(&ReadFile { line: Some(line), lines: Some(lines), ..file("in/a.txt") });
    assert_eq!(part(2, 1).unwrap().text, "two\n");
    assert_eq!(part(2, 1).unwrap().next, Some(Position { line: 3, column: 0 }));
    assert_eq!(part(0, 0).unwrap().text, "one\n");
    assert_eq!(part(3, u64::MAX).unwrap().next, None);
    assert!(matches!(part(5, 1), Err(FileError::Beyond)));
    assert!(matches!(part(u64::MAX, u64::MAX), Err(FileError::Beyond)));
}

#[test]
fn encodings_are_told_apart() {
    let utf_16 = |text: &str, big: bool| -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    };
    let russian = encoding_rs::WINDOWS_1251.encode("Съешь же ещё этих мягких французских булок, да выпей чаю.").0;
    let japanese =
        encoding_rs::SHIFT_JIS.encode("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。").0;
    let german = encoding_rs::WINDOWS_1252.encode("Über den Bäumen schläft die süße Müllerin.").0;
    for (content, encoding, start) in [
        (b"plain".to_vec(), "UTF-8", "plain"),
        ("é𝄞".as_bytes().to_vec(), "UTF-8", "é𝄞"),
        (b"\xef\xbb\xbfmark".to_vec(), "UTF-8", "mark"),
        ([b"\xff\xfe".to_vec(), utf_16("Grüße", false)].concat(), "UTF-16LE", "Grüße"),
        ([b"\xfe\xff".to_vec(), utf_16("日本", true)].concat(), "UTF-16BE", "日本"),
        (utf_16("no mark here", false), "UTF-16LE", "no mark"),
        (utf_16("no mark here", true), "UTF-16BE", "no mark"),
        (russian.to_vec(), "windows-1251", "Съешь же ещё"),
        (japanese.to_vec(), "Shift_JIS", "吾輩は猫である"),
        (german.to_vec(), "windows-1252", "Über den Bäumen"),
    ] {
        let found = bytes(&content).unwrap();
        assert_eq!(found.encoding, encoding, "{start}");
        assert!(found.text.starts_with(start) && !found.replaced, "{found:?}");
    }
    let broken = bytes("äöü äöü äöü \u{ffff}".as_bytes().split_last().unwrap().1).unwrap();
    assert!(broken.replaced && broken.text.starts_with("äöü"), "{broken:?}");
    // A character across the boundary of chunks.
    let split = "x".repeat(65_535) + "é" + &"y".repeat(10);
    let directories_text = |line| {
        let folder = Folder::new();
        fs::write(folder.path("in/file"), &split).unwrap();
        folder.grant().read(&ReadFile { column: Some(line), ..file("in/file") })
    };
    assert_eq!(directories_text(65_535).unwrap().text, "éyyyyyyyyyy");
}

#[test]
fn what_is_not_text_is_refused() {
    for (content, of) in [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), "image/png"),
        (b"%PDF-1.7\n1 0 obj", "application/pdf"),
        (b"PK\x03\x04\x14\0\0\0", "application/zip"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0>\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "application/x-executable"),
        (b"text and then \0 a NUL", "application/octet-stream"),
        (b"\x01\x02\x03\x80\x81\xff\x04\x05\x06", "application/octet-stream"),
        (&[0; 100], "application/octet-stream"),
    ] {
        assert!(matches!(bytes(content), Err(FileError::Binary(found)) if found == of), "{of}: {:?}", bytes(content));
    }
    let late = [vec![b'a'; 100_000], vec![0]].concat();
    let folder = Folder::new();
    fs::write(folder.path("in/late"), late).unwrap();
    let directories = folder.grant();
    assert!(read(&directories, "in/late").is_ok(), "the first page is text");
    let rest = directories.read(&ReadFile { column: Some(80_000), ..file("in/late") });
    assert!(matches!(rest, Err(FileError::Binary(_))), "{rest:?}");
    assert!(
        bytes(b"#!/bin/sh\necho\n").is_ok()
            && bytes(b"<html></html>").is_ok()
            && bytes(b"<?xml version='1.0'?>").is_ok()
    );
}

#[test]
fn huge_and_sparse_files_cost_little() {
    let folder = Folder::new();
    let sparse = fs::File::create(folder.path("in/sparse")).unwrap();
    if sparse.set_len(1 << 40).is_ok() {
        assert!(matches!(read(&folder.grant(), "in/sparse"), Err(FileError::Binary(_))));
        let listing = folder.grant().list(&directory("in")).unwrap();
        assert!(listing.entries.iter().any(|entry| entry.size == Some(1 << 40)));
    }
    let huge = fs::File::create(folder.path("in/huge")).unwrap();
    use std::io::Write;
    (&huge).write_all(&vec![b'a'; 70 << 20]).unwrap();
    let page = read(&folder.grant(), "in/huge").unwrap();
    assert_eq!((page.text.len(), page.next), (Directories::MAX_TEXT, Some(Position { line: 1, column: 32 << 10 })));
    let beyond = folder.grant().read(&ReadFile { line: Some(2), ..file("in/huge") });
    assert!(matches!(beyond, Err(FileError::Beyond)), "{beyond:?}");
}

#[test]
fn listings_are_sorted_capped_and_paged() {
    let folder = Folder::new();
    for name in 0..450 {
        fs::write(folder.path(&format!("in/sub/{name:03}")), "x").unwrap();
    }
    let directories = folder.grant().grant("other", folder.path("out")).unwrap();
    let roots: Vec<_> = directories.list(&directory("")).unwrap().entries.into_iter().map(|entry| entry.path).collect();
    assert_eq!(roots, ["in", "other"]);
    let shallow: Vec<_> =
        directories.list(&directory("in")).unwrap().entries.into_iter().map(|entry| entry.path).collect();
    assert_eq!(shallow, ["in/a.txt", "in/sub"]);
    let mut arguments = ListDirectory { path: "in".into(), depth: Some(u32::MAX), after: None };
    let mut all = Vec::new();
    loop {
        let listing = directories.list(&arguments).unwrap();
        assert!(listing.entries.len() <= Directories::MAX_ENTRIES);
        all.extend(listing.entries.into_iter().map(|entry| entry.path));
        arguments.after = listing.next;
        if arguments.after.is_none() {
            break;
        }
    }
    assert_eq!(all.len(), 453);
    assert!(all.is_sorted(), "{all:?}");
    for (path, after) in [("in", "in/zzz"), ("", "zzz")] {
        let far = directories.list(&ListDirectory { after: Some(after.into()), ..directory(path) }).unwrap();
        assert!(far.entries.is_empty() && far.next.is_none());
    }
    for after in ["other/a", "inner", "in", "../x"] {
        let wrong = directories.list(&ListDirectory { after: Some(after.into()), ..directory("in") });
        assert!(matches!(wrong, Err(FileError::Cursor)), "{after}: {wrong:?}");
    }
    let mut deep = folder.path("in");
    for _ in 0..20 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    let listing = directories.list(&ListDirectory { path: "in/d".into(), depth: Some(u32::MAX), after: None }).unwrap();
    assert_eq!(listing.entries.len(), 8);
}

/// The pages of every tree together hold the entries of one long page, wherever the pages end.
#[test]
fn pages_of_a_tree_put_together_are_the_tree() {
    let folder = Folder::new();
    let mut expected = Vec::new();
    for outer in ["a", "a b", "a-b", "b"] {
        fs::create_dir(folder.path(&format!("in/sub/{outer}"))).unwrap();
        expected.push(format!("in/sub/{outer}"));
        for inner in 0..150 {
            let path = format!("in/sub/{outer}/{inner:03}");
            if inner % 50 == 7 {
                fs::create_dir(folder.path(&path)).unwrap();
                fs::write(folder.path(&format!("{path}/leaf")), "").unwrap();
                expected.extend([path.clone(), format!("{path}/leaf")]);
            } else {
                fs::write(folder.path(&path), "").unwrap();
                expected.push(path);
            }
        }
    }
    fs::remove_file(folder.path("in/sub/b.txt")).unwrap();
    let directories = folder.grant();
    let mut arguments = ListDirectory { path: "in/sub".into(), depth: Some(4), after: None };
    let mut all = Vec::new();
    loop {
        let page = directories.list(&arguments).unwrap();
        all.extend(page.entries.into_iter().map(|entry| entry.path));
        arguments.after = page.next;
        if arguments.after.is_none() {
            break;
        }
    }
    assert_eq!(all, expected);
    // From every entry on, as if a page had ended there.
    for (index, path) in expected.iter().enumerate() {
        let page = directories.list(&ListDirectory { after: Some(path.clone()), ..arguments.clone() }).unwrap();
        let next = expected.get(index + 1);
        assert_eq!(page.entries.first().map(|entry| &entry.path), next, "after {path}");
    }
}

/// An unreadable subdirectory is marked, and the rest is listed. The superuser may read everything, so this test runs as the user `nobody`.
#[cfg(unix)]
#[test]
fn an_unreadable_directory_is_marked_and_the_rest_is_listed() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    const FOLDER: &str = "MISTRAL_TEST_UNREADABLE";
    if let Ok(folder) = std::env::var(FOLDER) {
        let directories = Directories::new().grant("in", folder).unwrap();
        let listing = directories.list(&ListDirectory { depth: Some(2), ..directory("in") }).unwrap();
        let entries: Vec<_> = listing.entries.iter().map(|entry| (entry.path.as_str(), entry.unreadable)).collect();
        let expected = [("in/a.txt", false), ("in/shut", true), ("in/sub", false), ("in/sub/b.txt", false)];
        assert_eq!(entries, expected);
        assert!(matches!(directories.list(&directory("in/shut")), Err(FileError::Denied)));
        return;
    }
    let folder = Folder::new();
    let shut = folder.path("in/shut");
    fs::create_dir(&shut).unwrap();
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).unwrap();
    let is_root = fs::metadata(&shut).unwrap().uid() == 0;
    if !is_root {
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o0)).unwrap();
    }
    let mut test = std::process::Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "builtin::files::tests::an_unreadable_directory_is_marked_and_the_rest_is_listed"]);
    test.env(FOLDER, folder.path("in"));
    if is_root {
        test.uid(NOBODY).gid(NOBODY);
    }
    match test.output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => eprintln!("SKIPPED: this program cannot be run as nobody: {error}"),
    }
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).unwrap();
}

#[cfg(unix)]
#[test]
fn strange_names() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let folder = Folder::new();
    let directories = folder.grant();
    fs::write(folder.path("in/sub/new\nline \"quoted\""), "n").unwrap();
    assert_eq!(read(&directories, "in/sub/new\nline \"quoted\"").unwrap().text, "n");
    let foreign = fs::write(folder.path("in/sub").join(OsStr::from_bytes(b"\xff\xfe")), "f").is_ok();
    let tool = directories.list_tool().build().unwrap();
    let mut reply = Reply::new();
    assert!(tool.call(&Invocation::default(), br#"{"path": "in/sub"}"#, &mut reply).is_success());
    assert!(reply.as_str().contains(r#"in/sub/new\nline \"quoted\""#), "{reply:?}");
    if foreign {
        assert!(reply.as_str().contains("in/sub/\u{fffd}\u{fffd}"), "{reply:?}");
        assert!(matches!(read(&directories, "in/sub/\u{fffd}\u{fffd}"), Err(FileError::NotFound)));
    }
}

#[test]
fn a_cancelled_call_ends() {
    let folder = Folder::new();
    let directories = folder.grant();
    let token = CancellationToken::new();
    token.cancel();
    let invocation = Invocation::default().with_token(&token);
    let mut reply = Reply::new();
    let outcome = directories.read_tool().build().unwrap().call(&invocation, br#"{"path": "in/a.txt"}"#, &mut reply);
    assert_eq!(outcome.error_kind(), Some(ErrorKind::Cancelled));
    let outcome = directories.list_tool().build().unwrap().call(&invocation, br#"{"path": "in"}"#, &mut reply);
    assert_eq!(outcome.error_kind(), Some(ErrorKind::Cancelled));
}
