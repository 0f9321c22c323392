"""The tables that the release writes with deltalake, kept for ever. Spark's jobs do not know them."""

from __future__ import annotations

from contracts.tables import DAY, Column, Table

RELEASE_TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "gate_decisions",
            "release.judging.gate",
            ("day", "key"),
            (
                DAY,
                Column("key", "string", "of the decision artifact", nullable=False),
                Column("verdict", "string", "yes, no or wait (not before a person has looked)", nullable=False),
                Column("challenger", "string", "address of its model's manifest", nullable=False),
                Column("champion", "string", "digest of its bundle; empty on the first day", nullable=False),
                Column("reasons", "string", "JSON list of sentences", nullable=False),
                Column("figures", "string", "JSON: decision.json whole", nullable=False),
            ),
            partition=(),
            kept="forever",
        ),
        Table(
            "evaluation_slices",
            "release.judging.gate",
            ("day", "key", "dimension", "slice"),
            (
                DAY,
                Column("key", "string", "of the decision artifact: gate_decisions.key", nullable=False),
                Column("dimension", "string", "category, position, ads, users or table", nullable=False),
                Column("slice", "string", "a category, a position, cold or warm ...", nullable=False),
                Column("rows", "long", "held-out impressions", nullable=False),
                Column("clicks", "long", "of them clicked", nullable=False),
                Column("auc", "double", "challenger's; null with one class"),
                Column("log_loss", "double", "challenger's, nats"),
                Column("calibration", "double", "challenger's predicted clicks over real ones"),
                Column("champion_auc", "double", "null without a champion, as what follows"),
                Column("champion_log_loss", "double", "nats"),
                Column("champion_calibration", "double", "predicted clicks over real ones"),
                Column("difference", "double", "AUC, challenger minus champion"),
                Column("error", "double", "its standard error, by user"),
                Column("chance_auc", "double", "p-value of: the AUC has not fallen below the margin"),
                Column("chance_loss", "double", "p-value of: the log loss has not risen above the bound"),
                Column("verdict", "string", "worse (Holm over all), fine, unanswered, or too small", nullable=False),
            ),
            partition=(),
            kept="forever",
        ),
        Table(
            "served_quality",
            "release.judging.served_quality",
            ("day", "publication"),
            (
                DAY,
                Column("publication", "long", "of the publication log: what served the day", nullable=False),
                Column("bundle", "string", "its digest", nullable=False),
                Column("rows", "long", "impressions of the day", nullable=False),
                Column("clicks", "long", "of them clicked, all late clicks in", nullable=False),
                Column("auc", "double", "of what was served; null with one class"),
                Column("gauc", "double", "weighted by impressions"),
                Column("log_loss", "double", "nats"),
                Column("calibration", "double", "predicted clicks over real ones"),
                Column("lower", "string", "JSON: figure -> lower bound of its band, where it has one", nullable=False),
                Column("upper", "string", "JSON: figure -> upper bound of its band, where it has one", nullable=False),
                Column("level", "string", "pass, or warn: a figure left its band", nullable=False),
                Column("reasons", "string", "JSON list of sentences", nullable=False),
            ),
            partition=(),
            kept="forever",
        ),
    )
}
