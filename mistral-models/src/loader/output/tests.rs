use super::*;
use crate::loader::file_kind::FileKind;

/// A directory of its own for each test, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("output-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_is_there_whole_or_not_at_all() {
    let dir = Directory::new();
    let path = dir.join("a");
    OutputFile::write(&path, b"old").unwrap();
    let mut file = OutputFile::create(&path).unwrap();
    file.write_all(b"half of the new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    drop(file);
    assert_eq!((fs::read(&path).unwrap().as_slice(), dir.names()), (b"old".as_slice(), vec!["a".to_owned()]));
    let mut file = OutputFile::create(&path).unwrap();
    file.write_all(b"new").unwrap();
    file.finish().unwrap();
    assert_eq!((fs::read(&path).unwrap().as_slice(), dir.names()), (b"new".as_slice(), vec!["a".to_owned()]));
}

#[test]
fn two_writers_of_one_name_do_not_mix() {
    let dir = Directory::new();
    let path = dir.join("a");
    let (mut first, mut second) = (OutputFile::create(&path).unwrap(), OutputFile::create(&path).unwrap());
    first.write_all(b"first").unwrap();
    second.write_all(b"second").unwrap();
    second.finish().unwrap();
    first.finish().unwrap();
    assert_eq!((fs::read(&path).unwrap().as_slice(), dir.names()), (b"first".as_slice(), vec!["a".to_owned()]));
}

#[test]
fn a_name_as_long_as_names_can_be_is_written() {
    let dir = Directory::new();
    let path = dir.join(&"n".repeat(255));
    OutputFile::write(&path, b"x").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"x");
    let error = OutputFile::create(dir.join("no/directory")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("directory for the file"), "{error}");
    assert!(matches!(OutputFile::create(""), Err(Error::Io { .. })));
}

#[cfg(unix)]
#[test]
fn the_end_of_symbolic_links_is_written() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = Directory::new();
    fs::create_dir(dir.join("real")).unwrap();
    fs::write(dir.join("real/a"), "old").unwrap();
    fs::set_permissions(dir.join("real/a"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real/a", dir.join("relative")).unwrap();
    symlink(dir.join("relative"), dir.join("absolute")).unwrap();
    symlink("real/new", dir.join("dangling")).unwrap();
    symlink("loop", dir.join("loop")).unwrap();

    OutputFile::write(dir.join("absolute"), b"new").unwrap();
    assert_eq!(fs::read(dir.join("real/a")).unwrap(), b"new");
    assert_eq!(fs::metadata(dir.join("real/a")).unwrap().permissions().mode() & 0o777, 0o640);
    for link in ["relative", "absolute"] {
        assert!(fs::symlink_metadata(dir.join(link)).unwrap().is_symlink());
    }
    OutputFile::write(dir.join("dangling"), b"made").unwrap();
    assert!(fs::symlink_metadata(dir.join("dangling")).unwrap().is_symlink());
    assert_eq!(fs::read(dir.join("real/new")).unwrap(), b"made");
    assert!(matches!(OutputFile::create(dir.join("loop")), Err(Error::Io { .. })));
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused_and_left_alone() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;
    let dir = Directory::new();
    fs::create_dir(dir.join("directory")).unwrap();
    let _socket = UnixListener::bind(dir.join("socket")).unwrap();
    symlink("/dev/null", dir.join("null")).unwrap();
    symlink("directory", dir.join("link")).unwrap();
    for (path, kind) in [
        (dir.join("directory"), FileKind::Directory),
        (dir.join("link"), FileKind::Directory),
        (dir.join("socket"), FileKind::Special),
        (dir.join("null"), FileKind::Special),
        ("/dev/null".into(), FileKind::Special),
    ] {
        let error = OutputFile::create(&path).unwrap_err();
        assert!(matches!(&error, Error::WrongFile { found, .. } if *found == kind), "{}: {error}", path.display());
    }
    assert!(fs::symlink_metadata("/dev/null").unwrap().file_type().is_char_device());
    assert!(fs::symlink_metadata(dir.join("socket")).unwrap().file_type().is_socket());
    fs::write(dir.join("protected"), "x").unwrap();
    fs::set_permissions(dir.join("protected"), fs::Permissions::from_mode(0o444)).unwrap();
    let error = OutputFile::create(dir.join("protected")).unwrap_err();
    assert!(matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied));
    assert_eq!(dir.names(), ["directory", "link", "null", "protected", "socket"]);
}
