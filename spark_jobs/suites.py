"""What a day must be before anyone may read it: the two Great Expectations suites.

`staged_impressions` judges rows: a frame of impressions with the helper columns of spark_jobs.figures.audited_rows.
`day_figures` judges days: one row a day (spark_jobs.figures), each figure beside the bounds that hold for it.
"""

from __future__ import annotations

from contracts.settings import LandingSettings

ROWS_SUITE, DAYS_SUITE = "staged_impressions", "day_figures"
# Fewer known profiles than this: the users file is not that of the traffic. Single unknown users stay, on purpose.
MIN_KNOWN_USERS = 0.5


def rows_suite():  # type: ignore[no-untyped-def]  # Great Expectations is imported only when it is used
    """Expectations on every impression."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    needed = ("day", "impression_id", "shown_at", "user_id", "ad_id", "label")
    suite = gx.ExpectationSuite(name=ROWS_SUITE)
    suite.expectations = [
        *(gxe.ExpectColumnValuesToNotBeNull(column=name) for name in needed),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["day", "impression_id"], notes="ids are unique within a day"),
        gxe.ExpectColumnValuesToBeInSet(column="label", value_set=[0, 1]),
        gxe.ExpectColumnValuesToBeInSet(
            column="shown_in_day", value_set=[1], notes="shown_at lies in the business day"
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="click_in_window", value_set=[1], notes="a labelled click lies in the attribution window"
        ),
    ]
    return suite


def days_suite(settings: LandingSettings):  # type: ignore[no-untyped-def]
    """Expectations on every day's figures. A bound that is null does not hold (too few days before)."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    def at_least(upper: str, lower: str, notes: str):  # type: ignore[no-untyped-def]
        return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=upper, column_B=lower, or_equal=True, ignore_row_if="either_value_is_missing", notes=notes
        )

    suite = gx.ExpectationSuite(name=DAYS_SUITE)
    suite.expectations = [
        gxe.ExpectColumnValuesToBeBetween(column="rows", min_value=1, notes="a day has impressions"),
        at_least("rows", "min_rows", "not far fewer impressions than in the trailing week"),
        at_least("max_rows", "rows", "not far more impressions than in the trailing week"),
        at_least("ctr", "min_ctr", "CTR not far below the trailing week's"),
        at_least("max_ctr", "ctr", "CTR not far above the trailing week's"),
        gxe.ExpectColumnValuesToBeBetween(
            column="quarantined_share",
            min_value=0,
            max_value=settings.max_quarantined_share,
            notes="impressions and clicks set aside, of those that landed",
        ),
        gxe.ExpectColumnValuesToBeBetween(column="unknown_ads", max_value=0, notes="every ad is in a catalogue"),
        gxe.ExpectColumnValuesToBeBetween(
            column="known_users", min_value=MIN_KNOWN_USERS, notes="share of impressions whose user has a profile"
        ),
        gxe.ExpectColumnValuesToBeBetween(column="repeated_ads", max_value=0, notes="ad_id is unique"),
        gxe.ExpectColumnValuesToBeBetween(column="repeated_users", max_value=0, notes="user_id is unique"),
    ]
    return suite
