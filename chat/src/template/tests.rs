//! What templates mean, held against minijinja, and what they may not do.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, context};
use proptest::prelude::*;

use super::*;

#[path = "bombs.rs"]
mod bombs;

fn render(source: &str, messages: &[Message]) -> Result<Vec<Piece>, String> {
    Template::parse(source).and_then(|t| t.render(messages, true)).map_err(|e| e.to_string())
}

/// What this interpreter writes for a chat of two messages, marks included.
fn ours(source: &str) -> Result<String, String> {
    let messages = [Message::user("hello"), Message::assistant("two")];
    let template = parser::parse(source).map_err(|e| e.to_string())?;
    Template(Arc::new(template)).text(&messages, true).map_err(|e| e.to_string())
}

/// What minijinja writes for the same.
fn minijinja(source: &str) -> String {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().expect("a syntax");
    environment.set_syntax(syntax);
    environment.add_template("chat", source).unwrap_or_else(|e| panic!("{source}: {e}"));
    let message = |role, index| context! { role => role, content => format!("{MARK}{index}{MARK}") };
    let messages = vec![message("user", 0), message("assistant", 1)];
    let template = environment.get_template("chat").expect("a template");
    template
        .render(context! { messages => messages, add_generation_prompt => true })
        .unwrap_or_else(|e| panic!("{source}: {e}"))
}

#[test]
fn contents_never_meet_the_template() {
    let source = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</>{% endfor %}{% if add_generation_prompt %}>{% endif %}";
    let messages = [Message::user("{{ 1 + 1 }}</>"), Message::assistant("two")];
    let text = |s: &str| Piece::Text(s.into());
    assert_eq!(
        render(source, &messages).expect("renders"),
        [text("<user>"), Piece::Content(0), text("</><assistant>"), Piece::Content(1), text("</>>")]
    );
}

/// Fragments of published chat templates, and each thing of the language once.
#[test]
fn templates_mean_what_minijinja_says() {
    for source in [
        // ChatML, and the ways in which others vary it.
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "{%- if messages[0]['role'] == 'system' %}\n    {%- set system_message = messages[0]['content'] | trim %}\n    {%- set messages = messages[1:] %}\n{%- else %}\n    {%- set system_message = '' %}\n{%- endif %}\n{{- '<s>' + system_message }}\n{%- for m in messages %}\n    {{- '[' ~ m.role ~ ']' }}\n{%- endfor %}\n",
        "{% set ns = namespace(found=false, n=0) %}{% for m in messages %}{% if m.role == 'assistant' %}{% set ns.found = true %}{% endif %}{% set ns.n = ns.n + loop.index %}{% endfor %}{{ 'yes' if ns.found else 'no' }} {{ ns.n }}",
        "{% for m in messages[::-1] %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.length }}{{ m.role }}{% if not loop.last %}, {% endif %}{% endfor %}",
        "{% for m in messages if m.role != 'system' %}{{ m.role }}{% else %}none{% endfor %}",
        "{% macro turn(role, end='<|end|>') %}<|{{ role }}|>{{ end }}{% endmacro %}{{ turn('a') }}{{ turn('b', end='!') }}",
        "{% set text %}\n  {% for i in range(3) %}\n  {{ i }};\n  {% endfor %}\n{% endset %}\n{{ text | trim }}|",
        "a  \n  {% if true %}\n  b\n  {% endif %}\n  c {# comment #}\nd\n{#- x -#}\n e {{- ' f ' -}} g\n",
        "x {% if true %}  y{% endif %}  {% if true %} z {% endif %}\n\n",
        "  {%+ if true %} keep {% endif +%}\n end",
        "{% raw %}{{ not this }} {% for %}{% endraw %}!",
        "{{ messages | length }}{{ messages | map(attribute='role') | join(', ') }}{{ (messages | last).role }}",
        "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages | rejectattr('role', 'eq', 'user') | map(attribute='role') | first }}",
        "{{ 'a-b-c'.split('-') | join('+') if false else 'x' }}{{ 'Hello' | upper }}{{ 'hello' | capitalize }}{{ 'aXbX' | replace('X', 'yy') }}",
        "{{ 1 + 2 * 3 - 4 }}{{ 7 // 2 }}{{ 7 % 3 }}{{ -7 // 2 }}{{ -7 % 3 }}{{ 'ab' * 3 }}{{ 1 ~ 2 }}{{ -3 }}{{ 2 - -3 }}",
        "{{ 'x' in 'xyz' }}{{ 'q' not in ['a', 'q'] }}{{ not true or 1 == 1 and 2 < 3 }}{{ 'a' < 'b' }}{{ 'role' in messages[0] }}",
        "{{ missing is defined }}{{ missing is not defined }}{{ none is none }}{{ 'a' is string }}{{ [1] is sequence }}{{ {'a': 1} is mapping }}{{ 3 is odd }}",
        "{{ missing | default('d') }}{{ '' | default('d', true) }}{{ [3, 1][0] }}{{ [3, 1][-1] }}{{ {'a': {'b': 5}}.a.b }}{{ {'a': 1}['a'] }}",
        "{{ 'hello'[1:3] }}{{ 'hello'[::-1] }}{{ 'hello'[-2:] }}{{ [1, 2, 3][:2] | join }}{{ [1, 2, 3][5:] | length }}",
        "{% for k, v in {'a': 1, 'b': 2} | items %}{{ k }}={{ v }};{% endfor %}{% set a, b = [1, 2] %}{{ a }}{{ b }}",
        "{{ 'one\ntwo\n\nthree' | indent(2) }}{{ 'one\ntwo' | indent(2, true) }}",
        "{% for i in range(2, 9, 3) %}{{ i }}{% endfor %}{{ range(3) | list | reverse | join }}{{ '5' | int + 1 }}",
        "{% for i in [1] %}{% set inside = 1 %}{% endfor %}{{ inside is defined }}{% if true %}{% set kept = 1 %}{% endif %}{{ kept }}",
        "{% for m in messages %}{{ (loop.previtem | default({'role': '-'})).role }}{{ (loop.nextitem | default({'role': '-'})).role }}{% endfor %}",
        "{{ 'tab\\tnew\\nquote\\'s' }}{{ \"a\" \"b\" if false else 'c' }}",
    ] {
        let (ours, theirs) = (ours(source).unwrap_or_else(|e| panic!("{source}: {e}")), minijinja(source));
        // Python's names for truth are Hugging Face's; minijinja has its own.
        let plain = |text: &str| text.replace("True", "true").replace("False", "false");
        assert_eq!(plain(&ours), plain(&theirs), "{source}");
    }
}

#[test]
fn python_methods_and_loop_controls() {
    for (source, expected) in [
        ("{{ ' a '.strip() }}{{ 'xax'.strip('x') }}{{ 'ab'.startswith('a') }}{{ 'a,b'.split(',')[-1] }}", "aaTrueb"),
        (
            "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}",
            "013",
        ),
        ("{{ {'a': 1}.get('b') is none }}{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}", "Truea1"),
        ("{% generation %}a{% endgeneration %}{{ [1, 'x', none] }}", "a[1, 'x', None]"),
    ] {
        assert_eq!(ours(source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn bad_templates_are_refused_in_a_sentence() {
    let hello = [Message::user("hello")];
    for (source, says) in [
        ("{% for", "line 1: a tag has no end"),
        ("a\n{% for x in y %}", "line 2: endfor is missing"),
        ("{% include 'secrets' %}", "the tag include is not for chat templates"),
        ("{% import 'x' as y %}", "the tag import is not for chat templates"),
        ("{% extends 'x' %}", "the tag extends is not for chat templates"),
        ("{{ raise_exception('no system prompt') }}", "no system prompt"),
        ("{{ messages[0].content | upper | replace('0', '7') }}", "it changes contents"),
        ("{{ messages[0].content[:1] }}", "it changes contents"),
        ("{{ 9223372036854775807 + 1 }}", "a number is too large"),
        ("{{ 1 // 0 }}", "divided by 0"),
        ("{{ x | nonsense }}", "there is no filter nonsense"),
        ("{{ open('/etc/passwd') }}", "there is no function open"),
        ("{{ ''.__class__.__mro__ }}", "something undefined has no __mro__"),
        ("{{ x y }}", "the tag should end here"),
    ] {
        let error = render(source, &hello).expect_err(source);
        assert!(error.contains(says), "{source}: {error}");
    }
}

/// Templates that would take for ever, or all memory, or all of the stack: `tests/hostile` counts what they take.
#[test]
fn bombs_are_refused() {
    for (source, says) in bombs::bombs() {
        let error = render(&source, &[Message::user("hello")]).expect_err(&source);
        assert!(error.contains(says), "{source:.100}: {error}");
    }
}

/// Values, and ways to make larger ones of them.
fn arb_program() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        "x",
        "y",
        "'ab'",
        "3",
        "[x, y]",
        "{'a': x}",
        "ns",
        "ns.v",
        "messages",
        "loop",
        "none",
        "range(40)",
        "x ~ y",
        "x + x",
        "x * 99",
        "[x] + [y]",
        "x | list",
        "x | join(y)",
        "x | replace('a', y)",
        "x | indent(99)",
        "x[::-1]",
        "x | map('string')",
        "f(x)",
        "x | string",
        "x == y",
        "x in y",
        "x.split('a')",
        "namespace(v=x)",
        "x | reverse",
        "x.items()",
        "x | upper",
        "x[1:]",
        "-x",
        "not x",
    ]);
    let statement = (value, 0..6usize).prop_map(|(value, form)| match form {
        0 => format!("{{% set x = {value} %}}"),
        1 => format!("{{% set y = {value} %}}"),
        2 => format!("{{% set ns.v = {value} %}}"),
        3 => format!("{{{{ {value} }}}}"),
        4 => format!("{{% for x in range(60) %}}{{% set ns.v = {value} %}}"),
        _ => "{% endfor %}".into(),
    });
    prop::collection::vec(statement, 0..40).prop_map(|statements| {
        let mut open = 0;
        let mut source = String::from("{% macro f(x) %}{{ x }}{{ f(x) if x is none }}{% endmacro %}{% set ns = namespace(v='a') %}{% set x = 'a' %}{% set y = 'b' %}");
        for statement in statements {
            if statement.contains("{% for") {
                open += 1;
            } else if statement.contains("endfor") {
                if open == 0 { continue; }
                open -= 1;
            }
            source += &statement;
        }
        source + &"{% endfor %}".repeat(open)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A template either renders or gives a reason, and what it was given is used up by then.
    #[test]
    fn any_program_ends(source in arb_program()) {
        let _ = ours(&source);
    }

    /// So does text that is no template.
    #[test]
    fn noise_is_refused(source in "[a-z{}%#'\"\\[\\]().,|~+*:= \\n-]{0,200}") {
        let _ = ours(&source);
    }

    /// Text without tags is written as it is, but for the last line's end.
    #[test]
    fn text_stays(source in "[a-z %#}\\n]{0,60}x") {
        prop_assert_eq!(ours(&source), Ok(source));
    }
}
