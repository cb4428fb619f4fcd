"""Formulas: every equation of a docstring is MathML, or stands in a block that scrolls; none is cut off."""

import ast
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import formulas
import mathml
import pages
import pytest
from mechanisms import mechanism, mechanisms

ROOT = Path(__file__).parents[2]
FILES = [path for room in pages.ROOMS for path in mechanisms(room)]


def spoken(text: str) -> str:
    """The characters of MathML, without its elements."""
    return "".join(ElementTree.fromstring(text).itertext()).replace("\xa0", " ")


def maths(text: str) -> list[str]:
    return re.findall(r"<math.*?</math>", text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("e_qk = v . tanh(W s_q + U h_k)", "eqk=v·tanh(Wsq+Uhk)"),
        ("w_qk = exp(e_qk) / sum_k' exp(e_qk')", "wqk=exp(eqk)∑k′exp(eqk′)"),
        ("p(l | x) = sum over pi in B^-1(l) of prod_t y_t(pi_t)", "p(l|x)=∑π∈B−1(l)∏tyt(πt)"),
        ("(a^, b^, k^)_t = W s_t + bias", "(a^,b^,k^)t=Wst+bias"),
        ("h~ = tanh(W x + r * (U h + b_U) + b)", "h~=tanh(Wx+r∗(Uh+bU)+b)"),
        ("i = sigmoid(W_xi x + w_ci * c + b_i)", "i=sigmoid(Wxix+wci∗c+bi)"),
        ("e_qk = beta_q (u_q . h_k) / (|u_q| |h_k|)", "eqk=βq(uq·hk)|uq||hk|"),
        ("PE(p, 2i) = sin(p / 10000^(2i/d))", "PE(p,2i)=sin(p100002id)"),
        ("a_t ~ w_t", "at∼wt"),
        ("M_t(i) = M_t-1(i) (1 - e_t)", "Mt(i)=Mt−1(i)(1−et)"),
        ("a_j = (1 - u_j) prod_i<j u_i", "aj=(1−uj)∏i<jui"),
        ("o_t = f(m_1, .., m_t)", "ot=f(m1,…,mt)"),
        ("c_t = h_{a_t}", "ct=hat"),
        ("[k != l's last] = 1", "[k≠l's last]=1"),
        ("p(B follows A) = softmax(V tanh(U h_[CLS] + u))", "p(BfollowsA)=softmax(Vtanh(Uh[CLS]+u))"),
        ("h_zt <- layer(Q = h_zt, KV = [m; h_z1..h_zt])", "hzt←layer(Q=hzt,KV=[m;hz1…hzt])"),
        ("p(x_t+1) = h^enc_t-1", "p(xt+1)=ht−1enc"),
        ("R = [a = a*]", "R=[a=a∗]"),
        ("L = KL(p || q) +- 1", "L=KL(p‖q)±1"),
        ("p(v_i | v_<i) = c", "p(vi|v<i)=c"),
        ("u = the last state, in both directions", "u=thelaststate,inbothdirections"),
        ("MultiHead(Q, K, V) = [head_1; ...; head_h] W^O", "MultiHead(Q,K,V)=[head1;…;headh]WO"),
    ],
)
def test_each_form_becomes_mathml(text: str, said: str) -> None:
    left, right = mathml.sides(text)
    assert spoken(f"<math>{left}{right}</math>") == said


def test_a_fraction_has_two_sides_and_drops_its_parentheses() -> None:
    _, right = mathml.sides("c = (a + b) / (2 sigma^2)")
    top, bottom = ElementTree.fromstring(f"<math>{right}</math>").find("mfrac") or ()
    assert ["".join(side.itertext()) for side in (top, bottom)] == ["a+b", "2σ2"]


@pytest.mark.parametrize(
    ("text", "above", "below"),
    [("K = 1/2 sum_d m_d", "1", "2"), ("K = 1 / 2 sum_d m_d", "1", "2∑dmd"), ("K = 2i/d x", "2i", "d")],
)
def test_a_slash_without_spaces_binds_closer_than_a_product(text: str, above: str, below: str) -> None:
    fraction = ElementTree.fromstring(f"<math>{mathml.sides(text)[1]}</math>").find(".//mfrac")
    assert fraction is not None
    assert ["".join(side.itertext()) for side in fraction] == [above, below]


def test_a_line_has_a_label_formulas_and_a_remark() -> None:
    row = formulas.row('    bilinear e_qk = s_q^T W h_k                      "general" in the paper')
    assert '<td class="label">bilinear</td>' in row
    assert "<td class='remark'>&quot;general&quot; in the paper</td>" in row
    row = formulas.row("    w_tk = exp(beta e_tk)        beta = 1; in evaluation more sharpens")
    assert "<td class='remark'>beta = 1; in evaluation more sharpens</td>" in row
    row = formulas.row("    h_t     = tanh(W x_t + U h_t-1)            equation 2")
    assert "<td></td><td><math" in row
    assert "<td class='remark'>equation 2</td>" in row
    row = formulas.row("    u_q = W s_q,   beta_q = softplus(b . s_q + c)")
    assert len(maths(row)) == 3
    row = formulas.row("    gumbel      a_t = arg max(log w_t + g), g Gumbel noise, which samples from w_t")
    assert "<td class='remark'>g Gumbel noise, which samples from <i>w</i><sub>t</sub></td>" in row


@pytest.mark.parametrize("text", ["    e = ]", "    a line of words", "    x = $5"])
def test_what_is_no_formula_stands_as_it_is_in_a_block_that_scrolls(text: str) -> None:
    assert formulas.block(text) == f"```text\n{text.strip()}\n```\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_formula_of_a_mechanism_is_cut_off(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    blocks = [part for kind, part in formulas.parts_of(docstring.partition(".")[2]) if kind == "formulas"]
    assert blocks, "expected an equation"
    _, page = mechanism(path)
    for part in blocks:
        shown = formulas.block(part)
        assert shown in page
        assert shown.startswith(('<div class="formulas">', "```text\n"))
        for found in maths(shown):
            ElementTree.fromstring(found)
        if "<math" in shown:  # no character is lost
            symbols = set(re.findall(r"[A-Za-z]", spoken(f"<x>{shown}</x>")))
            assert set(re.findall(r"\b[A-Za-z]\b", part)) - {"x"} <= symbols
    assert "overflow-x: auto" in (ROOT / "docs" / "assets" / "site.css").read_text()


def test_examples_of_a_docstring_are_code() -> None:
    text = "Said.\n\n>>> 1 + 1\n2\n\nAnd on."
    assert "```pycon\n>>> 1 + 1\n2\n```" in formulas.in_docstring(text)


def test_remarks_beside_a_wide_formula_stand_below_it() -> None:
    wide = f"a = {' + '.join('bcdefghijklmnopqrstuvwxyz')}     said\nb = c\n"
    assert '</tr><tr><td></td><td></td><td class="remark">said</td></tr>' in formulas.block(wide)
    assert "<td class='remark'>said</td>" in formulas.block("a = b     said\n")


def test_a_sentence_after_an_equals_sign_is_text() -> None:
    row = formulas.row("u_m = the last state of the net over all words of turn m")
    assert "<td>= the last state of the net over all words of turn m</td>" in row
    assert "<i>h</i><sub>k,j</sub>" in formulas.row("a = b        as h_{k,j} is")


def test_commands_on_a_page_are_no_formulas() -> None:
    commands = "```text\nsaccade predict RUN x = 1\n```\n"
    assert formulas.in_page(commands) == commands
    code = "```text\nimport saccade\nrun = saccade.load(x)\n```\n"
    assert formulas.in_page(code) == code
    drawn = formulas.in_page("```text\nc    = tanh(h)     of a word\nx = $5\ns = h_0      code in `ticks`\n```\n")
    assert len(maths(drawn)) == 4
    assert "<code>x = $5</code>" in drawn  # only what cannot be read stays as it is
    assert "<code>ticks</code>" in drawn
    assert "<math" in formulas.in_page("```text\nc = tanh(V h_T)        s_0 = tanh(V' c)\n```\n")
