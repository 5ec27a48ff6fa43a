//! Chat templates: what each takes while it is read and rendered is counted.

use mar::chat::{ChatError, Message, Piece, Template};
use proptest::prelude::*;

use crate::{alone, counted, refused};

#[path = "../../chat/src/template/bombs.rs"]
mod bombs;

/// Bytes that a template may take.
const MOST: usize = 16 << 20;

fn render(template: &str, messages: &[Message]) -> Result<Vec<Piece>, ChatError> {
    Template::parse(template)?.render(messages, true)
}

#[test]
fn bombs_stay_under_16_mib() {
    let _alone = alone();
    for (template, says) in bombs::bombs() {
        refused(&format!("{template:.60}"), says, MOST, || render(&template, &[Message::user("Hello!")]));
    }
}

/// Good templates of any size stay under it too, and long chats are possible.
#[test]
fn long_chats_render() {
    let _alone = alone();
    let messages: Vec<Message> = (0..4_000).map(|n| Message::user(format!("{n}"))).collect();
    let template = "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}";
    let (pieces, peak) = counted(|| render(template, &messages));
    println!("4,000 messages: {} KiB", peak >> 10);
    assert_eq!(pieces.expect("a chat").len(), 8_001);
    assert!(peak < MOST, "{peak} bytes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever a template is made of, it takes less than it may.
    #[test]
    fn any_template_stays_under_16_mib(parts in prop::collection::vec(prop::sample::select(vec![
        "{% for i in range(500) %}", "{% endfor %}", "{% set ns.x = ns.x ~ ns.x %}", "{% set ns.x = [ns.x, ns.x] %}", "{{ ns.x }}",
        "{% set ns.x = ns.x | list %}", "{% set ns.x = ns.x * 9 %}", "{% set ns.x = 'ab' %}", "{% set ns.x = ns.x.split('a') %}",
        "{% set ns.x = ns.x | join('ab') %}", "{% set ns.x = messages %}", "{% set ns.x = ns.x | string %}", "{% set ns.y = ns.x %}",
        "{% set ns.x = {'a': ns.x, 'b': ns.y} %}", "{% set ns.x = ns.x + ns.y %}", "{% set t %}{{ ns.x }}{{ ns.y }}{% endset %}",
        "{% set ns.x = t %}", "{% set ns.x = ns.x | replace('a', ns.y) %}", "{% set ns.x = namespace(y=ns.y) %}", "text",
    ]), 0..30)) {
        let _alone = alone();
        let mut open = 0usize;
        let mut template = String::from("{% set ns = namespace(x='a', y='b') %}");
        for part in parts {
            if part == "{% endfor %}" && open == 0 { continue; }
            open = if part.starts_with("{% for") { open + 1 } else if part == "{% endfor %}" { open - 1 } else { open };
            template.push_str(part);
        }
        template.push_str(&"{% endfor %}".repeat(open));
            let (_, peak) = counted(|| render(&template, &[Message::user("Hello!")]));
        prop_assert!(peak < MOST, "{} bytes: {}", peak, template);
    }
}
