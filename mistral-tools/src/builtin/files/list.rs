//! The tool that lists a directory.

use cap_std::fs::{Dir, FileType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Directories, FileError, check, failed};
use crate::{Callable, CancellationToken, Invoke, SchemaType, ToolBuilder};

/// The arguments of the tool that lists directories.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub struct ListDirectory {
    /// The directory; left out or empty for the directories that there are.
    #[serde(default)]
    pub path: String,
    /// How many levels to go down, 1 to 8; left out for 1.
    #[serde(default)]
    pub depth: Option<u32>,
    /// How many entries to leave out, to go on where another listing ended.
    #[serde(default)]
    pub skip: Option<usize>,
}

/// What a directory contains, sorted by name; what is in a directory follows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Listing {
    /// The entries.
    pub entries: Vec<Entry>,
    /// The entries to leave out next time, if there are more.
    pub next: Option<usize>,
}

/// Something in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Entry {
    /// The path, as the tools take it. Where a name is not Unicode it has U+FFFD, and cannot be opened.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// The size of a file in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// What an entry is, without following links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a pipe or a socket.
    Other,
}

impl From<FileType> for EntryKind {
    fn from(of: FileType) -> Self {
        if of.is_file() {
            Self::File
        } else if of.is_dir() {
            Self::Directory
        } else if of.is_symlink() {
            Self::Link
        } else {
            Self::Other
        }
    }
}

impl Directories {
    /// The most entries in one reply.
    pub const MAX_ENTRIES: usize = 200;
    /// The most entries that are looked at for one listing. A directory with more cannot be listed at all: what comes first is
    /// known when everything is.
    pub const MAX_VISITED: usize = 20_000;
    /// The most levels of a listing.
    pub const MAX_DEPTH: u32 = 8;

    /// The tool that lists directories, named `list_directory`; hooks may be added before it is built.
    pub fn list_tool(&self) -> Callable<ListDirectory, Listing, Self, impl Invoke<ListDirectory, Self, Listing>> {
        ToolBuilder::named("list_directory")
            .description("Lists a directory, sorted by name. Without a path it lists the directories that may be read.")
            .with(self.clone())
            .request_schema::<ListDirectory>(SchemaType::Serde)
            .result_schema::<Listing>(SchemaType::Serde)
            .on_invocation(|conversation, _, arguments, directories| {
                let token = conversation.execution().token();
                directories.list_with(&arguments, token).map_err(FileError::into_tool_error)
            })
    }

    /// Lists a directory, without a tool around it.
    ///
    /// # Errors
    /// [`FileError`]; [`FileError::Beyond`] for more than [`MAX_VISITED`](Self::MAX_VISITED) entries.
    ///
    /// ```
    /// use mistral_tools::builtin::{Directories, ListDirectory};
    /// let directories = Directories::new().grant("tmp", std::env::temp_dir())?;
    /// let granted = directories.list(&ListDirectory::default()).unwrap();
    /// assert_eq!(granted.entries[0].path, "tmp");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn list(&self, arguments: &ListDirectory) -> Result<Listing, FileError> {
        self.list_with(arguments, None)
    }

    fn list_with(&self, arguments: &ListDirectory, token: Option<&CancellationToken>) -> Result<Listing, FileError> {
        let depth = arguments.depth.unwrap_or(1).clamp(1, Self::MAX_DEPTH);
        let skip = arguments.skip.unwrap_or(0);
        let mut walk =
            Walk { token, visited: 0, asked: skip, skip, listing: Listing { entries: Vec::new(), next: None } };
        match self.resolve(&arguments.path)? {
            Some((name, directory, within)) => {
                // A directory is never waited for, whatever stands there.
                let opened = directory.open_dir(&within).map_err(failed)?;
                let path = if within == "." { name.to_owned() } else { format!("{name}/{within}") };
                walk.directory(&opened, &path, depth)?;
            }
            None => {
                for name in self.grants.keys() {
                    walk.add(Entry { path: name.clone(), kind: EntryKind::Directory, size: None });
                }
            }
        }
        Ok(walk.listing)
    }
}

struct Walk<'a> {
    token: Option<&'a CancellationToken>,
    visited: usize,
    /// The entries to leave out, in all and from here on.
    asked: usize,
    skip: usize,
    listing: Listing,
}

impl Walk<'_> {
    /// Lists a directory and `depth - 1` levels below it; the recursion is at most [`Directories::MAX_DEPTH`] deep. False when
    /// the listing is full.
    fn directory(&mut self, directory: &Dir, path: &str, depth: u32) -> Result<bool, FileError> {
        let mut found = Vec::new();
        for entry in directory.entries().map_err(failed)? {
            check(self.token)?;
            self.visited += 1;
            if self.visited > Directories::MAX_VISITED {
                return Err(FileError::Beyond);
            }
            let entry = entry.map_err(failed)?;
            found.push((entry.file_name(), entry));
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, entry) in found {
            // What went away since is left out.
            let Ok(file_type) = entry.file_type() else { continue };
            let kind = EntryKind::from(file_type);
            let path = format!("{path}/{}", name.to_string_lossy());
            let size = match kind {
                EntryKind::File => entry.metadata().ok().map(|metadata| metadata.len()),
                _ => None,
            };
            if !self.add(Entry { path: path.clone(), kind, size }) {
                return Ok(false);
            }
            if kind == EntryKind::Directory && depth > 1 {
                // One that may not be read is listed without its entries.
                let Ok(below) = entry.open_dir() else { continue };
                if !self.directory(&below, &path, depth - 1)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Adds an entry; false when there is no more room.
    fn add(&mut self, entry: Entry) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return true;
        }
        let full = self.listing.entries.len() == Directories::MAX_ENTRIES;
        if full {
            self.listing.next = Some(self.asked.saturating_add(Directories::MAX_ENTRIES));
        } else {
            self.listing.entries.push(entry);
        }
        !full
    }
}
