//! The date that `strftime_now` prints: a value given by the caller, or the system's time in UTC.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Fault;

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A date and time of day in the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    year: i64,
    /// 1 to 12
    month: i64,
    /// 1 to 31
    day: i64,
    /// 0 is Sunday
    weekday: i64,
    /// 0 is January 1st
    day_of_year: i64,
    second_of_day: i64,
    micros: u32,
    unix: i64,
}

impl Clock {
    pub(super) fn now() -> Self {
        Self::at(SystemTime::now())
    }

    pub(super) fn at(time: SystemTime) -> Self {
        let (unix, micros) = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(0), after.subsec_micros()),
            Err(before) => (-i64::try_from(before.duration().as_secs()).unwrap_or(0), 0),
        };
        let days = unix.div_euclid(86_400);
        // Years counted from March make the leap day the last of its year; 146,097 days are 400 years.
        let shifted = days.saturating_add(719_468);
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * from_march + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let day_of_year = if month > 2 { from_march + 59 + i64::from(leap) } else { from_march - 306 };
        Self {
            year,
            month,
            day: from_march - (153 * march_month + 2) / 5 + 1,
            weekday: (days + 4).rem_euclid(7),
            day_of_year,
            second_of_day: unix.rem_euclid(86_400),
            micros,
            unix,
        }
    }

    /// `strftime` in the C locale; an unknown directive is printed as it stands.
    pub(super) fn format(&self, format: &str) -> Result<String, Fault> {
        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let mut directive = chars.next();
            let plain = directive == Some('-');
            if plain {
                directive = chars.next();
            }
            let Some(directive) = directive else {
                out.push_str(if plain { "%-" } else { "%" });
                break;
            };
            self.directive(&mut out, directive, plain).map_err(|_| Fault::new("strftime_now() failed"))?;
        }
        Ok(out)
    }

    fn directive(&self, out: &mut String, directive: char, plain: bool) -> Result<(), std::fmt::Error> {
        let (hour, minute, second) = (self.second_of_day / 3600, self.second_of_day / 60 % 60, self.second_of_day % 60);
        let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
        let name =
            |names: &[&'static str], i: i64| usize::try_from(i).ok().and_then(|i| names.get(i)).copied().unwrap_or("");
        let (weekday, month) = (name(&WEEKDAYS, self.weekday), name(&MONTHS, self.month - 1));
        let monday_based = (self.weekday + 6) % 7;
        let (mut value, mut width) = (None, 2);
        match directive {
            'a' => out.push_str(&weekday[..3]),
            'A' => out.push_str(weekday),
            'b' | 'h' => out.push_str(&month[..3]),
            'B' => out.push_str(month),
            'p' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            'Y' => (value, width) = (Some(self.year), 1),
            'C' => value = Some(self.year / 100),
            'y' => value = Some(self.year.rem_euclid(100)),
            'm' => value = Some(self.month),
            'd' => value = Some(self.day),
            'e' => write!(out, "{:>2}", self.day)?,
            'H' => value = Some(hour),
            'I' => value = Some(hour12),
            'k' => write!(out, "{hour:>2}")?,
            'l' => write!(out, "{hour12:>2}")?,
            'M' => value = Some(minute),
            'S' => value = Some(second),
            'f' => write!(out, "{:06}", self.micros)?,
            'j' => (value, width) = (Some(self.day_of_year + 1), 3),
            'w' => (value, width) = (Some(self.weekday), 1),
            'u' => (value, width) = (Some(monday_based + 1), 1),
            'U' => value = Some((self.day_of_year + 7 - self.weekday) / 7),
            'W' => value = Some((self.day_of_year + 7 - monday_based) / 7),
            's' => (value, width) = (Some(self.unix), 1),
            // A time without a zone, as the renderer of transformers passes it.
            'z' | 'Z' => {}
            'n' => out.push('\n'),
            't' => out.push('\t'),
            '%' => out.push('%'),
            'F' => write!(out, "{}-{:02}-{:02}", self.year, self.month, self.day)?,
            'T' | 'X' => write!(out, "{hour:02}:{minute:02}:{second:02}")?,
            'R' => write!(out, "{hour:02}:{minute:02}")?,
            'r' => write!(out, "{hour12:02}:{minute:02}:{second:02} {}", if hour < 12 { "AM" } else { "PM" })?,
            'D' | 'x' => write!(out, "{:02}/{:02}/{:02}", self.month, self.day, self.year.rem_euclid(100))?,
            'c' => write!(
                out,
                "{} {} {:>2} {hour:02}:{minute:02}:{second:02} {}",
                &weekday[..3],
                &month[..3],
                self.day,
                self.year
            )?,
            other if plain => write!(out, "%-{other}")?,
            other => write!(out, "%{other}")?,
        }
        if let Some(value) = value {
            let width = if plain { 1 } else { width };
            write!(out, "{value:0width$}")?;
        }
        Ok(())
    }
}
