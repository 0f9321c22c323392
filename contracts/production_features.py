"""What the production set has beside the default one: together 14 ad, 6 user, 3 time, 13 text and 14 history features
and 45 crosses of two, the counts of CSCNN's Table 7. Names and examples there, choices where it is silent ours.

Sizes are those of a laptop: a hash or vocabulary may grow to what its ids need.
"""

from __future__ import annotations

from contracts.daily_features import ACTED, AD_SHOWN, DAILY
from contracts.feature import Feature, Transform

ADS: tuple[Feature, ...] = (
    Feature("price_band", "Ad", "ad", "categorical", "vocabulary", 128, "price in half octaves",
            source=("ads.price",), transform=Transform("band", "price")),
    Feature("reviews_band", "Ad", "ad", "categorical", "vocabulary", 128, "number of reviews in half octaves",
            source=("ads.reviews",), transform=Transform("band", "reviews")),
    Feature("price_to_category", "Ad", "ad", "numeric", "bins", 18, "price over the mean price of its category",
            source=("ads.price", "ads.category_id"), transform=Transform("over_mean", "category_id")),
    Feature("category_ads", "Ad", "ad", "numeric", "bins", 18, "ads of its category in the catalogue",
            source=("ads.category_id",), transform=Transform("group_size", "category_id")),
    Feature("brand_ads", "Ad", "ad", "numeric", "bins", 18, "ads of its brand in the catalogue",
            source=("ads.brand_id",), transform=Transform("group_size", "brand_id")),
    Feature("shop_ads", "Ad", "ad", "numeric", "bins", 18, "ads of its shop in the catalogue",
            source=("ads.shop_id",), transform=Transform("group_size", "shop_id")),
    Feature("ad_listed_7d", "Ad", "ad", "numeric", "bins", 10, "age: catalogues of the last 7 folders that held it",
            source=("ads.ad_id",), transform=Transform("listed", "ad_id", folders=7)),
    Feature("has_picture", "Ad", "ad", "categorical", "vocabulary", 4, "whether there is a picture",
            source=("ads.image",), transform=Transform("present", "image")),
)  # fmt: skip

USERS: tuple[Feature, ...] = (
    Feature("user_id", "User", "user", "categorical", "vocabulary", 65_536, "the user", min_count=5,
            source=("users.user_id",), transform=Transform("copy", "user_id")),
    Feature("user_listed_7d", "User", "user", "numeric", "bins", 10, "age: profile files of the last 7 folders with it",
            source=("users.user_id",), transform=Transform("listed", "user_id", folders=7)),
)  # fmt: skip

TIME: tuple[Feature, ...] = (
    Feature("day_of_month", "Time", "context", "categorical", "vocabulary", 34, "date: day of the month, 1-31",
            source=("impressions.shown_at",), transform=Transform("day_of_month", "shown_at")),
)  # fmt: skip

QUERY, TITLE = ("impressions.query",), ("ads.title",)
TEXT: tuple[Feature, ...] = (
    Feature("query_phrase", "Text", "context", "categorical", "vocabulary", 16_384, "the whole query", min_count=3,
            source=QUERY, transform=Transform("phrase", "query")),
    Feature("query_bigrams", "Text", "context", "multi_hot", "hash", 8_192, "pairs of words of the query", limit=8,
            source=QUERY, transform=Transform("bigrams", "query")),
    Feature("query_length", "Text", "context", "numeric", "bins", 10, "words of the query",
            source=QUERY, transform=Transform("word_count", "query")),
    Feature("query_last_word", "Text", "context", "categorical", "vocabulary", 4_096, "the query's last word",
            min_count=3, source=QUERY, transform=Transform("last_word", "query")),
    Feature("title_bigrams", "Text", "ad", "multi_hot", "hash", 8_192, "pairs of words of the title", limit=8,
            source=TITLE, transform=Transform("bigrams", "title")),
    Feature("title_length", "Text", "ad", "numeric", "bins", 18, "words of the title",
            source=TITLE, transform=Transform("word_count", "title")),
    Feature("title_last_word", "Text", "ad", "categorical", "vocabulary", 4_096, "the title's last word", min_count=3,
            source=TITLE, transform=Transform("last_word", "title")),
    Feature("match_words", "Text", "pair", "multi_hot", "hash", 4_096, "words of the query that the title has",
            limit=8, of=("query_words", "title_words"), source=(*QUERY, *TITLE), transform=Transform("matches")),
    Feature("match_count", "Text", "pair", "numeric", "bins", 12, "number of the query's words that the title has",
            of=("query_words", "title_words"), source=(*QUERY, *TITLE), transform=Transform("match_count")),
    Feature("match_share", "Text", "pair", "numeric", "bins", 12, "share of the query's words that the title has",
            of=("query_words", "title_words"), source=(*QUERY, *TITLE), transform=Transform("match_share")),
    Feature("match_bigrams", "Text", "pair", "numeric", "bins", 12, "number of the query's pairs that the title has",
            of=("query_bigrams", "title_bigrams"), source=(*QUERY, *TITLE), transform=Transform("match_count")),
)  # fmt: skip

KIND = "behaviours.kind"
HISTORY: tuple[Feature, ...] = (
    Feature("recent_brands", "History", "user", "sequence", "vocabulary", 4_096, "brands acted on", limit=10,
            source=(*ACTED, "ads.brand_id"), transform=Transform("recent", "brand_id", folders=7)),
    Feature("recent_shops", "History", "user", "sequence", "vocabulary", 4_096, "shops acted on", limit=10,
            source=(*ACTED, "ads.shop_id"), transform=Transform("recent", "shop_id", folders=7)),
    Feature("recent_ads", "History", "user", "sequence", "vocabulary", 20_000, "ads acted on", limit=10,
            source=ACTED, transform=Transform("recent", "ad_id", folders=7)),
    Feature("user_views_7d", "History", "user", "numeric", "bins", 18, "user's views, last 7 folders",
            source=(*ACTED, KIND), transform=Transform("acted", "user_id", folders=7, behaviour="view")),
    Feature("user_orders_7d", "History", "user", "numeric", "bins", 18, "user's orders, last 7 folders",
            source=(*ACTED, KIND), transform=Transform("acted", "user_id", folders=7, behaviour="order")),
    Feature("ad_orders_7d", "History", "ad", "numeric", "bins", 18, "orders of the ad's item, last 7 folders",
            source=(*ACTED, KIND), transform=Transform("acted", "ad_id", folders=7, behaviour="order")),
    Feature("ad_ctr_1d", "History", "ad", "numeric", "bins", 18, "ad's smoothed CTR, last folder",
            source=AD_SHOWN, transform=Transform("ctr", "ad_id", folders=1)),
    Feature("category_ctr_7d", "History", "ad", "numeric", "bins", 18, "its category's smoothed CTR, last 7 folders",
            source=(*AD_SHOWN, "ads.category_id"), transform=Transform("ctr", "category_id", folders=7)),
    Feature("brand_ctr_7d", "History", "ad", "numeric", "bins", 18, "its brand's smoothed CTR, last 7 folders",
            source=(*AD_SHOWN, "ads.brand_id"), transform=Transform("ctr", "brand_id", folders=7)),
    Feature("shop_ctr_7d", "History", "ad", "numeric", "bins", 18, "its shop's smoothed CTR, last 7 folders",
            source=(*AD_SHOWN, "ads.shop_id"), transform=Transform("ctr", "shop_id", folders=7)),
    Feature("category_visits", "History", "pair", "numeric", "bins", 13, "how often the user visited the ad's category",
            of=("recent_categories", "category_id"), source=(*ACTED, "ads.category_id"),
            transform=Transform("match_count")),
)  # fmt: skip

_SHORT = {
    "age_band": "age", "price_sensitivity": "sensitivity", "category_id": "category", "brand_id": "brand",
    "shop_id": "shop", "user_id": "user", "query_phrase": "query", "query_last_word": "last_word",
}  # fmt: skip
# (left, the rights that it is crossed with, what the crosses are to catch, rows of each embedding)
_CROSSED: tuple[tuple[str, tuple[str, ...], str, int], ...] = (
    ("gender", ("category_id", "brand_id", "shop_id", "price_band", "reviews_band"), "taste", 4_096),
    ("age_band", ("category_id", "brand_id", "shop_id", "price_band", "reviews_band"), "taste", 8_192),
    ("region", ("category_id", "brand_id", "shop_id", "price_band", "reviews_band"), "local taste", 8_192),
    ("price_sensitivity", ("category_id", "brand_id", "shop_id", "price_band", "reviews_band"), "its cost", 4_096),
    ("user_id", ("category_id", "brand_id", "shop_id", "price_band"), "one user's taste", 65_536),
    ("query_phrase", ("category_id", "brand_id", "shop_id", "price_band", "gender", "age_band"), "the wish", 16_384),
    ("query_last_word", ("category_id", "brand_id", "price_band"), "the wish", 8_192),
    ("hour", ("category_id", "age_band", "gender", "region"), "when it is sought", 4_096),
    ("weekday", ("category_id", "age_band", "gender", "hour"), "when it is sought", 4_096),
    ("category_id", ("brand_id", "price_band", "shop_id"), "what it is", 8_192),
    ("brand_id", ("price_band",), "what it is", 8_192),
)  # fmt: skip
_OWN = (*ADS, *USERS, *TIME, *TEXT, *HISTORY)
_KNOWN = {feature.name: feature for feature in (*DAILY, *_OWN)}
_DECLARED = {feature.of for feature in DAILY if feature.kind == "cross"}


def _cross(left: str, right: str, description: str, size: int) -> Feature:
    name = f"{_SHORT.get(left, left)}_x_{_SHORT.get(right, right)}"
    source = (*_KNOWN[left].source, *_KNOWN[right].source)
    return Feature(
        name, _KNOWN[left].field, "cross", "cross", "hash", size, description,
        of=(left, right), source=source, transform=Transform("cross"),
    )  # fmt: skip


CROSSES: tuple[Feature, ...] = tuple(
    _cross(left, right, description, size)
    for left, rights, description, size in _CROSSED
    for right in rights
    if (left, right) not in _DECLARED
)
PRODUCTION: tuple[Feature, ...] = (*_OWN, *CROSSES)  # beside DAILY
