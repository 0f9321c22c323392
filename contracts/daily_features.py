"""The features of the default set: what a laptop's day is trained on. The production set has them too."""

from __future__ import annotations

from contracts.feature import Feature, Transform

AD_SHOWN = ("impressions.ad_id", "impressions.shown_at", "clicks.clicked_at")
USER_SHOWN = ("impressions.user_id", "impressions.shown_at", "clicks.clicked_at")
ACTED = ("behaviours.user_id", "behaviours.ad_id", "behaviours.at")

DAILY: tuple[Feature, ...] = (
    Feature("ad_id", "Ad", "ad", "categorical", "vocabulary", 20_000, "the ad itself", min_count=20,
            source=("ads.ad_id",), transform=Transform("copy", "ad_id")),
    Feature("category_id", "Ad", "ad", "categorical", "vocabulary", 4_096, "product category",
            source=("ads.category_id",), transform=Transform("copy", "category_id")),
    Feature("brand_id", "Ad", "ad", "categorical", "vocabulary", 4_096, "brand", min_count=5,
            source=("ads.brand_id",), transform=Transform("copy", "brand_id")),
    Feature("shop_id", "Ad", "ad", "categorical", "vocabulary", 4_096, "shop", min_count=5,
            source=("ads.shop_id",), transform=Transform("copy", "shop_id")),
    Feature("price", "Ad", "ad", "numeric", "bins", 18, "price",
            source=("ads.price",), transform=Transform("copy", "price")),
    Feature("reviews", "Ad", "ad", "numeric", "bins", 18, "number of reviews",
            source=("ads.reviews",), transform=Transform("copy", "reviews")),
    Feature("ad_ctr_7d", "History", "ad", "numeric", "bins", 18, "ad's smoothed CTR, last 7 folders",
            source=AD_SHOWN, transform=Transform("ctr", "ad_id", folders=7)),
    Feature("title_words", "Text", "ad", "multi_hot", "hash", 4_096, "words of the title", limit=8,
            source=("ads.title",), transform=Transform("words", "title")),
    Feature("age_band", "User", "user", "categorical", "vocabulary", 64, "age band",
            source=("users.age_band",), transform=Transform("copy", "age_band")),
    Feature("gender", "User", "user", "categorical", "vocabulary", 16, "gender",
            source=("users.gender",), transform=Transform("copy", "gender")),
    Feature("region", "User", "user", "categorical", "vocabulary", 512, "region",
            source=("users.region",), transform=Transform("copy", "region")),
    Feature("price_sensitivity", "User", "user", "categorical", "vocabulary", 16, "price sensitivity",
            source=("users.price_sensitivity",), transform=Transform("copy", "price_sensitivity")),
    Feature("user_ctr_7d", "History", "user", "numeric", "bins", 18, "user's smoothed CTR, last 7 folders",
            source=USER_SHOWN, transform=Transform("ctr", "user_id", folders=7)),
    Feature("recent_categories", "History", "user", "sequence", "vocabulary", 4_096, "categories acted on", limit=10,
            source=(*ACTED, "ads.category_id"), transform=Transform("recent", "category_id", folders=7)),
    Feature("hour", "Time", "context", "categorical", "vocabulary", 32, "hour of the business day, 0-23",
            source=("impressions.shown_at",), transform=Transform("hour", "shown_at")),
    Feature("weekday", "Time", "context", "categorical", "vocabulary", 16, "1 Monday ... 7 Sunday",
            source=("impressions.shown_at",), transform=Transform("weekday", "shown_at")),
    Feature("query_words", "Text", "context", "multi_hot", "hash", 4_096, "words of the query", limit=8,
            source=("impressions.query",), transform=Transform("words", "query")),
    Feature("gender_x_category", "User", "cross", "cross", "hash", 4_096, "taste", of=("gender", "category_id"),
            source=("users.gender", "ads.category_id"), transform=Transform("cross")),
    Feature("age_x_brand", "User", "cross", "cross", "hash", 8_192, "taste", of=("age_band", "brand_id"),
            source=("users.age_band", "ads.brand_id"), transform=Transform("cross")),
)  # fmt: skip
