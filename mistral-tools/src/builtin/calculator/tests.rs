use super::*;
use crate::{
    outcome::reply::Reply,
    tool::{Invocation, Tool},
};

fn value(expression: &str) -> String {
    let found = Calculator::new().time_limit(Duration::from_secs(60)).evaluate(expression);
    let found = found.unwrap_or_else(|error| panic!("{expression}: {error:?}"));
    if found.approximate { format!("~{}", found.result) } else { found.result }
}

fn refused(expression: &str) -> String {
    match Calculator::new().time_limit(Duration::from_secs(60)).evaluate(expression) {
        Err(CalculatorError::Expression(words)) => words,
        other => panic!("{expression}: {other:?}"),
    }
}

#[test]
fn arithmetic() {
    for (expression, expected) in [
        ("37 * 43", "1591"),
        ("37*43", "1591"),
        ("37 × 43", "1591"),
        ("1 + 2 * 3 ^ 2", "19"),
        ("(1 + 2) * 3", "9"),
        ("2(3)", "6"),
        ("(2+3)(4)", "20"),
        ("6/2(3)", "9"),
        ("-2^2", "-4"),
        ("2^-2", "0.25"),
        ("2 ** 10", "1024"),
        ("2^3^2", "512"),
        ("0.1 + 0.2", "0.3"),
        (".5 + 5.", "5.5"),
        ("1,234,567 + 1", "1234568"),
        ("1/3", "~0.3333333333"),
        ("1e3 + 1E-1", "1000.1"),
        ("0xff + 0b11 + 0o17", "0x111"),
        ("10!", "3628800"),
        ("20 mod 6", "2"),
        ("20 % 6", "2"),
        ("2⁵ + 3²", "41"),
        ("sin(0)", "0"),
        ("sqrt(16)", "4"),
        ("sqrt 16", "4"),
        ("5 sqrt(4)", "10"),
        ("sqrt(4)^2", "4"),
        ("sqrt(2)^2 to 5 dp", "~2"),
        ("cos(0) + abs(-3)", "4"),
        ("sin(30 degrees)", "0.5"),
        ("2 pi to 3 dp", "~6.283"),
        ("20% of 85", "17"),
        ("100 + 5%", "100.05"),
        ("5 km to m", "5000 m"),
        ("60 km per hour to m/s", "~16.6666666667 m / s"),
        ("5 feet 3 inches to cm", "160.02 cm"),
        ("100 °F to °C", "~37.7777777778 °C"),
        ("10 to bin", "1010"),
        ("10 nCr 3", "120"),
        ("\t37\n*43 ", "1591"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn the_tool_tells_host_and_model() {
    let tool = Calculator::new().tool().build().unwrap();
    let mut reply = Reply::new();
    assert!(tool.call(&Invocation::default(), br#"{"expression": "2 to the"}"#, &mut reply).error_kind().is_some());
    let outcome = tool.call(&Invocation::default(), br#"{"expression": "7 +"}"#, &mut reply);
    assert_eq!(outcome.error_kind(), Some(ErrorKind::InvalidArguments));
    assert_eq!(reply.as_str(), "Error (invalid arguments): a value is missing after `+`, at the end");
    let source = outcome.error().unwrap().source().unwrap().downcast_ref::<CalculatorError>();
    assert!(matches!(source, Some(CalculatorError::Expression(_))));
    let schema = tool.request_schema().unwrap();
    assert_eq!(schema["required"][0], "expression");
}

#[test]
fn what_a_calculator_has_no_use_for_is_refused_with_a_reason() {
    for (expression, reason) in [
        ("", "a value is missing"),
        ("()", "a value is missing"),
        ("x = 3", "variables"),
        ("a; b", "one expression"),
        ("x: x", "one expression"),
        (r"(\\x.x x)(\\x.x x)", "one expression"),
        ("(λx.x x)(λx.x x)", "no functions to define"),
        ("x => x", "variables"),
        ("\"a\" + \"b\"", "only numbers"),
        ("@debug 1", "only numbers"),
        ("@2020-01-01", "only numbers"),
        ("16#ff", "only numbers"),
        ("1 << 1000000000", "shifts"),
        ("1000000000d1000000000", "dice"),
        ("d20", "dice"),
        ("5 USD to EUR", "exchange rates"),
        ("$5", "exchange rates"),
        ("max(1, 2)", "no function `max`"),
        ("gcd(4,600)", "no function `gcd`"),
        ("abs(1,2)", "comma"),
        ("1,23", "comma"),
        ("1234,567", "comma"),
        ("1.2.3", "point"),
        ("7 // 2", "before `/`"),
        ("5!!", "before `!`"),
        ("* 5", "before `*`"),
        ("5 *", "after `*`"),
        ("(5 -) 3", "after `-`"),
        ("-----1", "too many signs"),
        ("(1", "not closed"),
        ("1)", "not opened"),
        ("1e9999999", "exponent"),
        ("2⁰⁰⁰⁰⁰⁰⁰⁰⁰⁰⁰⁰⁰⁰⁰⁰⁰⁰⁰⁰⁰⁰⁰", "exponent"),
        ("0b12", "no number"),
        ("sin", "no number"),
        ("earth", "no number"),
        ("nonsense", "unknown identifier"),
        ("1/0", "division by zero"),
        ("5 km to kg", "cannot convert"),
        ("sinh(1000000)", "too large"),
        ("1\0", "means nothing"),
        ("1\u{202e}2", "means nothing"),
    ] {
        let words = refused(expression);
        assert!(words.contains(reason), "{expression}: {words}");
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let calculator = Calculator::new();
    let nested = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(calculator.evaluate(&nested(10_000)), Err(CalculatorError::TooLong(20_001)));
    assert_eq!(calculator.evaluate(&"9".repeat(1_001)), Err(CalculatorError::TooLong(1_001)));
    assert_eq!(calculator.evaluate(&"(".repeat(10_000)), Err(CalculatorError::TooLong(10_000)));
    assert!(refused(&nested(400)).contains("too many parentheses"));
    assert!(refused(&"sqrt(".repeat(101)).contains("too many parentheses"));
    assert!(refused(&"+(1)".repeat(101)).contains("too many parentheses"));
    assert!(refused(&"sqrt ".repeat(101)).contains("too many parentheses"));
}

#[test]
fn the_deepest_that_is_read_fits_the_stack() {
    assert_eq!(value(&format!("{}1{}", "(".repeat(100), ")".repeat(100))), "1");
    assert_eq!(value(&format!("{}1{}", "2(".repeat(100), ")".repeat(100))), "1267650600228229401496703205376");
    assert_eq!(value(&format!("{}1{}", "1+(".repeat(100), ")".repeat(100))), "101");
    assert_eq!(value(&format!("{}1{}", "sqrt(".repeat(100), ")".repeat(100))), "1");
    assert_eq!(value(&format!("0{}", "+(1)".repeat(100))), "100");
    assert_eq!(value(&format!("1{}", "+1".repeat(499))), "500");
    assert_eq!(value(&format!("1{}", "^1".repeat(499))), "1");
    assert_eq!(value(&format!("1{}", "^-+-1".repeat(99))), "1");
    assert_eq!(value(&format!("1{}", " 1/2")), "1.5");
    assert_eq!(value(&"9".repeat(1000)), "9".repeat(1000));
    let units = Calculator::new().time_limit(Duration::from_secs(60)).evaluate(&format!("1{}", " m".repeat(499)));
    assert_eq!(units.unwrap().result, "1 m^499");
    refused(&format!("{}1 0 0{}", "sqrt(".repeat(100), ")".repeat(100)));
    refused(&format!("{}1 0 0{}", "sin(1)+sin(".repeat(50), ")".repeat(50)));
}

#[test]
fn what_never_ends_is_stopped() {
    let calculator = Calculator::new().time_limit(Duration::from_millis(30));
    for expression in [
        "9^9^9^9",
        "9^9^9",
        "(9^9^9)!",
        "1e999999",
        "1e-999999",
        "exp(1000000)",
        "fib(1000000000)",
        "10^9 choose (5*10^8)",
        "1.0000001^1000000",
        "1/3 to 100000000 dp",
        "1/7 to 1000000000 sf",
        "2^0.5^0.5^0.5",
    ] {
        assert_eq!(calculator.evaluate(expression), Err(CalculatorError::Timeout), "{expression}");
    }
    assert!(matches!(Calculator::new().evaluate("10^5000"), Err(CalculatorError::TooLarge(5001))));
    assert_eq!(Calculator::new().time_limit(Duration::MAX).evaluate("1+1").unwrap().result, "2");
    assert_eq!(Calculator::new().time_limit(Duration::ZERO).evaluate("1+1"), Err(CalculatorError::Timeout));
}

#[test]
fn a_cancelled_call_ends() {
    let tool = Calculator::new().time_limit(Duration::from_secs(600)).tool().build().unwrap();
    let token = CancellationToken::new();
    let mut reply = Reply::new();
    thread::scope(|scope| {
        scope.spawn(|| token.cancel());
        let invocation = Invocation::default().with_token(&token);
        let outcome = tool.call(&invocation, br#"{"expression": "9^9^9^9"}"#, &mut reply);
        assert_eq!(outcome.error_kind(), Some(ErrorKind::Cancelled));
    });
}

#[test]
fn only_so_many_run_at_once() {
    let calculator = Calculator::new();
    let places: Vec<_> = (0..Calculator::MAX_CONCURRENT).map_while(|_| Place::take(&calculator.running)).collect();
    assert_eq!(places.len(), Calculator::MAX_CONCURRENT);
    assert_eq!(calculator.clone().evaluate("1+1"), Err(CalculatorError::Busy));
    assert_eq!(CalculatorError::Busy.kind(), ErrorKind::RateLimited);
    drop(places);
    assert_eq!(calculator.evaluate("1+1").unwrap().result, "2");
}

#[test]
fn models_read_numbers_as_numbers() {
    let tool = Calculator::new().time_limit(Duration::from_secs(60)).tool().build().unwrap();
    for (expression, read) in [
        ("37 * 43", "1591"),
        ("3 - 5", "-2"),
        ("2^100", "1267650600228229401496703205376"),
        ("2^200", "1606938044258990275541962092341162602522202993782792835301376"),
        ("1/4", "0.25"),
        ("5 km to m", "5000 m"),
        ("1/3", "approx. 0.3333333333"),
    ] {
        let mut reply = Reply::new();
        let arguments = serde_json::json!({"expression": expression}).to_string();
        assert!(tool.call(&Invocation::default(), arguments.as_bytes(), &mut reply).is_success(), "{expression}");
        assert_eq!(reply.as_str(), read);
    }
    assert_eq!(tool.result_schema().unwrap().unwrap()["type"], serde_json::json!(["integer", "string"]));
}

#[test]
fn a_panic_behind_is_an_error() {
    assert_eq!(Calculator::new().time_limit(Duration::from_secs(60)).evaluate("i^-1000"), Err(CalculatorError::Failed));
    assert_eq!(value("i^1000"), "1");
}

/// Any text gives a result or a typed error; without imaginary numbers nothing behind panics.
#[test]
fn soup_of_tokens() {
    const TOKENS: &[&str] = &[
        "1", "0", "2.5", "1e3", "0x1f", "1,000", "(", ")", "(", ")", "+", "-", "*", "/", "^", "!", "%", "sqrt", "sin(",
        "ln(", "pi", "e", "km", "m", "s", "to", "of", "mod", "per", " ", "and", "°C", "dp", "hex", "nCr", "²", "×",
        "in", "words", "abs(", "light", "percent", "0", "kg", "round(", "base", "phi", "\u{301}", "Ω",
    ];
    let calculator = Calculator::new().time_limit(Duration::from_millis(5));
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut results = 0;
    for _ in 0..3_000 {
        let len = 1 + next(9);
        let text: String = (0..len).map(|_| TOKENS[next(TOKENS.len())]).collect();
        match calculator.evaluate(&text) {
            Ok(_) => results += 1,
            Err(CalculatorError::Failed) => panic!("panicked on {text:?}"),
            Err(_) => {}
        }
    }
    assert!(results > 100, "{results}");
}

/// A number with its units binds tighter than a division, as people write it. Texts that people use for two things are refused.
#[test]
fn units_are_right_or_refused() {
    for (expression, expected) in [
        ("100 km / 2 hours", "50 km / hour"),
        ("100 km per 2 hours", "50 km / hour"),
        ("3 days / 2 hours", "36"),
        ("4 m / 2 m", "2"),
        ("6 m^2 / 2 m", "3 m"),
        ("6 m² / 3", "2 m^2"),
        ("sin 30 degrees", "0.5"),
        ("sin 30 degrees + 1", "1.5"),
        ("tan 45 degrees", "1"),
        ("tan(135 degrees)", "-1"),
        ("cos(60 degrees)", "0.5"),
        ("1/2 mile to km", "0.804672 km"),
        ("1 1/2 cups to ml", "354.88235475 ml"),
        ("5 ft 3 in to cm", "160.02 cm"),
        ("3 in in cm", "7.62 cm"),
        ("5 in + 3 in to cm", "20.32 cm"),
        ("5 inches in cm", "12.7 cm"),
        ("25 °C to K", "298.15 K"),
        ("0 celsius to fahrenheit", "32 fahrenheit"),
        ("5 kg * 3 m/s^2 to N", "15 N"),
        ("10 J / 2 kg K", "5 J kg^-1 K^-1"),
        ("5 W * 3 hours to kWh", "0.015 kWh"),
        ("10 GB / (100 MB/s)", "100 s"),
        ("1 mile / 8 minutes to km/h", "12.07008 km / h"),
        ("100 km/h * 2 h", "200 km"),
        ("8 hours * 15 per hour", "120"),
        ("(2 m)^2", "4 m^2"),
        ("2^3 m", "8 m"),
        ("sqrt(16 m^2)", "4 m"),
        ("abs(-3 m)", "3 m"),
        ("2 m * 3 m to cm^2", "60000 cm^2"),
        ("3 hours 30 minutes", "3.5 hours"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
    for (expression, reason) in [
        ("1 / 2 m", "two ways"),
        ("60 / 2 hours", "two ways"),
        ("1 per 3 s", "two ways"),
        ("10 GB / 100 MB/s", "two ways"),
        ("20 m / 4 m per s", "two ways"),
        ("10% 5", "two ways"),
        ("5 m 3", "missing"),
        ("5 m 3 s", "cannot convert"),
        ("pi 2", "operator is missing"),
        ("3 4", "operator is missing"),
        ("5 m to", "a unit is missing"),
        ("5 m to km /", "after `/`"),
    ] {
        let words = refused(expression);
        assert!(words.contains(reason), "{expression}: {words}");
    }
}

#[test]
fn percent_is_a_hundredth_and_a_remainder_has_the_sign_of_the_divisor() {
    for (expression, expected) in [
        ("80 * 5%", "4"),
        ("5% * 80", "4"),
        ("50%", "0.5"),
        ("50% + 50%", "1"),
        ("5 percent of 200", "10"),
        ("1/4 to percent", "25%"),
        ("0.25 to %", "25%"),
        ("-7 mod 3", "2"),
        ("7 mod -3", "-2"),
        ("-7 % 3", "2"),
        ("7.5 mod 2", "1.5"),
        ("2^100 mod 97", "16"),
        ("2 * 7 mod 4", "2"),
        ("10 nCr 3 * 2", "240"),
        ("-5^2 + -5!", "-145"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
    assert!(refused("5 mod 0").contains("division by zero"));
}

#[test]
fn exact_values_of_functions_are_not_called_approximate() {
    for (expression, expected) in [
        ("log2(8)", "3"),
        ("log2(1/8)", "-3"),
        ("log2(8) + 1", "4"),
        ("log(1000)", "3"),
        ("log10(0.01)", "-2"),
        ("cbrt(27)", "3"),
        ("cbrt(-0.125)", "-0.5"),
        ("sqrt(0.25)", "0.5"),
        ("ln(1)", "0"),
        ("ln(e)", "1"),
        ("exp(0)", "1"),
        ("cosh(0)", "1"),
        ("sinh(0) + tanh(0) + asin(0) + atan(0) + asinh(0) + atanh(0) + acos(1) + acosh(1)", "0"),
        ("log2(9)", "~3.1699250014"),
        ("log(1001)", "~3.0004340775"),
        ("sqrt(2)", "~1.4142135624"),
        ("cbrt(-27)", "-3"),
        ("cbrt(-2)", "~-1.2599210499"),
        ("floor(2^100 / 97)", "13068562888950818572130960880"),
        ("floor(-5/2)", "-3"),
        ("floor(-2)", "-2"),
        ("ceil(5/2)", "3"),
        ("ceil(-5/2)", "-2"),
        ("ceil((10^30 + 1) / 10)", "100000000000000000000000000001"),
        ("round(5/2)", "3"),
        ("round(-5/2)", "-3"),
        ("round(-2.4)", "-2"),
        ("round(10^20 + 0.5)", "100000000000000000001"),
        ("floor(sqrt(2))", "~1"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}
