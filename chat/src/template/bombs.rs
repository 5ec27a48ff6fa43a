//! Chat templates that would take for ever, or all memory, or all of the stack, and a part of the sentence that refuses each.
//! Half of them end a general template engine by a stack overflow, or keep it busy for hours.

/// (template, what the refusal says)
pub fn bombs() -> Vec<(String, &'static str)> {
    let grow = |first: &str, step: &str, then: &str| {
        let body = format!("{{% set ns.x = {step} %}}");
        format!("{{% set ns = namespace(x={first}, y='a') %}}{{% for i in range(1000) %}}{body}{{% endfor %}}{then}")
    };
    // Loops run out of steps or of bytes, whichever comes first.
    let (steps, bytes, deep) = ("more than", "bytes", "nested deeper");
    let mut all = vec![
        // Loops in loops.
        ("{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}".into(), steps),
        (format!("{}{}", "{% for i in range(9) %}".repeat(8), "{% endfor %}".repeat(8)), steps),
        (
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}x{% endmacro %}{{ f(9) }}".repeat(200),
            steps,
        ),
        // Texts and lists that grow.
        ("{{ 'x' * 10000000000 }}".into(), bytes),
        ("{{ 9999999999 * 'x' }}".into(), bytes),
        ("{{ range(1000000000) }}".into(), bytes),
        ("{{ range(0 - 9223372036854775807, 9223372036854775807) }}".into(), bytes),
        ("{{ 'x' * 100000 * 100000 }}".into(), bytes),
        (grow("'ab'", "ns.x ~ ns.x", ""), bytes),
        (grow("'ab'", "ns.x + ns.x", ""), bytes),
        (grow("[1]", "ns.x + ns.x", ""), bytes),
        (grow("'ab'", "ns.x | replace('a', ns.x)", ""), bytes),
        (grow("'ab'", "[ns.x, ns.x] | join(ns.x)", ""), bytes),
        (grow("'a'", "ns.x | indent(100, true)", ""), bytes),
        (grow("'a\\nb'", "ns.x | indent(1000000000)", ""), bytes),
        ("{{ ('a' * 100000) | replace('', 'b' * 100000) }}".into(), bytes),
        ("{{ range(100000) | join('x' * 100000) }}".into(), bytes),
        ("{{ ('a\\n' * 10000) | indent(1000000) }}".into(), bytes),
        ("{% set x = 'x' * 1000000 %}{% set y = [x, x, x, x] %}{% set z = [y, y, y] %}".into(), bytes),
        ("{{ ('ab ' * 600000).split() }}".into(), bytes),
        ("{{ ('a' * 1000000) | list }}".into(), bytes),
        ("{% for a in ('a' * 1000000) %}{% endfor %}".into(), bytes),
        ("{% set x %}{% for i in range(2000) %}{{ 'x' * 1000 }}{% endfor %}{% endset %}".into(), "writes more"),
        ("{% for i in range(3000) %}{{ 'x' * 1000 }}{% endfor %}".into(), "writes more"),
        // Lists in lists, and lists that would contain themselves.
        (grow("[]", "[ns.x]", ""), "nests lists"),
        (grow("{}", "{'a': ns.x}", ""), "nests lists"),
        (grow("(1,)", "(ns.x,)", ""), "nests lists"),
        (grow("[1, 2]", "[ns.x, ns.x]", "{{ ns.x }}"), bytes),
        (grow("'a'", "dict(a=ns.x, b=ns.x)", "{{ ns.x == ns.x }}"), bytes),
        ("{% set x = [x, x] %}".repeat(40) + "{{ x }}", bytes),
        // Expressions and blocks in themselves.
        (format!("{{{{ {}1 }}}}", "- ".repeat(20_000)), deep),
        (format!("{{{{ {}1 }}}}", "not ".repeat(15_000)), deep),
        (format!("{{{{ 1{} }}}}", " + 1".repeat(15_000)), deep),
        (format!("{{{{ 'a'{} }}}}", " ~ 'a'".repeat(10_000)), deep),
        (format!("{{{{ x{} }}}}", " or x".repeat(12_000)), deep),
        (format!("{{{{ x{} }}}}", ".a".repeat(30_000)), deep),
        (format!("{{{{ x{} }}}}", "[0]".repeat(20_000)), deep),
        (format!("{{{{ x{} }}}}", "|trim".repeat(12_000)), deep),
        (format!("{{{{ x{} }}}}", " is none".repeat(8_000)), deep),
        (format!("{{{{ {}{} }}}}", "(".repeat(30_000), ")".repeat(30_000)), deep),
        (format!("{{{{ {}{} }}}}", "[".repeat(30_000), "]".repeat(30_000)), deep),
        (format!("{{{{ {}1{} }}}}", "{'a':".repeat(10_000), "}".repeat(10_000)), deep),
        (format!("{{{{ {}1 }}}}", "1 if 1 else ".repeat(5_000)), deep),
        ("{% if a %}".repeat(6_000), deep),
        ("{% for a in b %}".repeat(4_000), deep),
        ("{% set a %}".repeat(5_000), deep),
        ("{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(0) }}".into(), deep),
        ("{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}".into(), deep),
        // Text that is only large.
        ("x".repeat(70_000), "expected at most 65536"),
    ];
    all.push((format!("{}{}", "{% set x = 'x' * 1000 %}", "{{ x }}".repeat(1_100)), "writes more"));
    all
}
