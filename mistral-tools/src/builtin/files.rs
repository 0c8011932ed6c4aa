//! Reading of files and directories within directories that the host granted.
//!
//! Paths are resolved by `cap-std`, component by component beneath a handle of the granted directory (by `openat2` where the
//! system has it): `..`, absolute paths, symbolic links out of the grant, and links swapped in while a path is resolved all end
//! as errors. What the model is told names only the path it gave, never a place of the host.

mod encoding;
mod list;
mod read;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, io, path::Path, sync::Arc};

use cap_std::{
    ambient_authority,
    fs::{Dir, File, OpenOptions},
};

use crate::{
    conversation::cancel::CancellationToken,
    outcome::{kinds::ErrorKind, tool_error::ToolError},
};

pub use list::{Entry, EntryKind, ListDirectory, Listing};
pub use read::{FileText, Position, ReadFile};

/// Directories that a model may read, each under a name of the host's choice: the first component of every path.
///
/// Symbolic links are followed within a grant and refused beyond it. A hard link is a file of the directory that it is in, wherever else
/// it has a name: do not grant what others may write to.
///
/// ```
/// use mistral_tools::{ErrorKind, Invocation, Reply, Tool, builtin::Directories};
///
/// let folder = std::env::temp_dir().join(format!("mistral-tools-doc-{}", std::process::id()));
/// std::fs::create_dir_all(&folder)?;
/// std::fs::write(folder.join("a.txt"), "one\ntwo\n")?;
///
/// let directories = Directories::new().grant("notes", &folder)?;
/// let read = directories.read_tool().build()?;
/// let list = directories.list_tool().build()?;
///
/// let mut reply = Reply::new();
/// assert!(list.call(&Invocation::default(), br#"{"path": "notes"}"#, &mut reply).is_success());
/// assert_eq!(reply.as_str(), r#"{"entries":[{"path":"notes/a.txt","kind":"file","size":8}],"next":null}"#);
/// assert!(read.call(&Invocation::default(), br#"{"path": "notes/a.txt", "line": 2}"#, &mut reply).is_success());
/// assert_eq!(reply.as_str(), r#"{"text":"two\n","encoding":"UTF-8","replaced":false,"next":null}"#);
///
/// let outcome = read.call(&Invocation::default(), br#"{"path": "notes/../../etc/passwd"}"#, &mut reply);
/// assert_eq!(outcome.error_kind(), Some(ErrorKind::PermissionDenied));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Directories {
    grants: Arc<BTreeMap<String, Dir>>,
}

/// Why a file or a directory could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A path that is absolute, or leaves its directory; by its text or by a link.
    #[error("the path leaves the directories that may be read")]
    Outside,
    /// The first component of the path is no granted directory; these are.
    #[error("there is no such directory; paths start with one of: {0}")]
    Unknown(String),
    /// There is nothing of this name.
    #[error("there is no such file or directory")]
    NotFound,
    /// The system does not allow it.
    #[error("the system does not allow to read this path")]
    Denied,
    /// A directory, a device, a pipe or a socket.
    #[error("it is not a regular file")]
    NotFile,
    /// Not a directory.
    #[error("it is not a directory")]
    NotDirectory,
    /// Not text; the type is known from the first bytes.
    #[error("it is not text but {0}")]
    Binary(&'static str),
    /// A part beyond the end of the file or beyond [`Directories::MAX_FILE`], or a directory of more than
    /// [`Directories::MAX_VISITED`] names.
    #[error("that part lies beyond the end of the file, or beyond the size that is read")]
    Beyond,
    /// The `after` of a listing is not a path within the directory.
    #[error("`after` is not an entry of this directory; pass `next` of the page before")]
    Cursor,
    /// Symbolic links that lead to each other.
    #[error("the path is a loop of symbolic links")]
    LinkLoop,
    /// The token of the call was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// Another error of the system, which the model is not shown.
    #[error("the system could not read this path")]
    Io(#[source] io::Error),
}

impl FileError {
    /// What a host decides by.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Outside | Self::Denied => ErrorKind::PermissionDenied,
            Self::Unknown(_) | Self::NotFound => ErrorKind::NotFound,
            Self::NotFile | Self::NotDirectory | Self::Binary(_) | Self::Beyond | Self::Cursor | Self::LinkLoop => {
                ErrorKind::InvalidArguments
            }
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Io(_) => ErrorKind::Failed,
        }
    }

    fn into_tool_error(self) -> ToolError {
        ToolError::new(self.kind(), self.to_string()).with_source(self)
    }
}

/// `cap-std` reports what leads out of a directory as a permission denied that no call of the system returned.
fn failed(error: io::Error) -> FileError {
    match error.kind() {
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => FileError::Outside,
        // A name that is too long for the system has nothing of its name.
        io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename => FileError::NotFound,
        io::ErrorKind::PermissionDenied => FileError::Denied,
        io::ErrorKind::NotADirectory => FileError::NotDirectory,
        io::ErrorKind::IsADirectory => FileError::NotFile,
        _ if is_link_loop(&error) => FileError::LinkLoop,
        _ => FileError::Io(error),
    }
}

/// Returns whether the system followed too many links. The standard library has no stable error kind for this case.
fn is_link_loop(error: &io::Error) -> bool {
    #[cfg(unix)]
    let code = Some(rustix::io::Errno::LOOP.raw_os_error());
    #[cfg(windows)]
    let code = Some(1921); // ERROR_CANT_RESOLVE_FILENAME
    #[cfg(not(any(unix, windows)))]
    let code = None;
    code.is_some() && error.raw_os_error() == code
}

impl Directories {
    /// No directories.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with the directory at `path` readable under `name`. It is opened now: what later stands at `path` is not read.
    ///
    /// # Errors
    /// A name that is empty, `.`, `..` or has one of the characters `/`, `\`, `:` and NUL, and those of opening the directory.
    pub fn grant(mut self, name: impl Into<String>, path: impl AsRef<Path>) -> io::Result<Self> {
        let name = name.into();
        if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\\', ':', '\0']) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the name of a granted directory is one component",
            ));
        }
        let directory = Dir::open_ambient_dir(path, ambient_authority())?;
        let mut grants = BTreeMap::new();
        for (name, directory) in self.grants.iter() {
            grants.insert(name.clone(), directory.try_clone()?);
        }
        grants.insert(name, directory);
        self.grants = Arc::new(grants);
        Ok(self)
    }

    /// The granted directory of a path, and the path within; none for the empty path.
    fn resolve(&self, path: &str) -> Result<Option<(&str, &Dir, String)>, FileError> {
        let is_foreign = cfg!(windows) && path.contains(['\\', ':']);
        if path.starts_with('/') || path.contains('\0') || is_foreign {
            return Err(FileError::Outside);
        }
        let mut components = Vec::new();
        for component in path.split('/') {
            match component {
                "" | "." => {}
                ".." => return Err(FileError::Outside),
                name => components.push(name),
            }
        }
        let Some((first, rest)) = components.split_first() else { return Ok(None) };
        let (name, directory) = self
            .grants
            .get_key_value(*first)
            .ok_or_else(|| FileError::Unknown(self.grants.keys().map(String::as_str).collect::<Vec<_>>().join(", ")))?;
        Ok(Some((name, directory, if rest.is_empty() { ".".into() } else { rest.join("/") })))
    }

    /// Opens a regular file. Nothing else is opened if that can be seen before, and never waited for.
    fn open(&self, path: &str) -> Result<File, FileError> {
        let (_, directory, within) = self.resolve(path)?.ok_or(FileError::NotFile)?;
        if !directory.metadata(&within).map_err(failed)?.is_file() {
            return Err(FileError::NotFile);
        }
        let mut options = OpenOptions::new();
        options.read(true);
        #[cfg(unix)]
        {
            use cap_std::fs::OpenOptionsExt;
            use rustix::fs::OFlags;
            // If a pipe or a terminal was swapped in since.
            options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32);
        }
        let file = directory.open_with(&within, &options).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_file() { Ok(file) } else { Err(FileError::NotFile) }
    }
}

impl fmt::Debug for Directories {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.grants.keys()).finish()
    }
}

fn check(token: Option<&CancellationToken>) -> Result<(), FileError> {
    match token {
        Some(token) if token.is_cancelled() => Err(FileError::Cancelled),
        _ => Ok(()),
    }
}
