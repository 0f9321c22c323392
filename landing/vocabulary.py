"""The words of titles and queries. No word names a colour, a shape or a pattern: looks must not show in text."""

from __future__ import annotations

CATEGORIES: dict[str, tuple[str, ...]] = {
    "bags": ("bag", "backpack", "tote", "wallet", "strap", "zip", "purse", "satchel", "luggage", "pocket"),
    "beauty": ("cream", "serum", "lotion", "mascara", "lipstick", "soap", "perfume", "skin", "balm", "toner"),
    "books": ("novel", "story", "poems", "history", "guide", "atlas", "edition", "paperback", "author", "tales"),
    "clothes": ("shirt", "dress", "jacket", "jeans", "skirt", "coat", "sweater", "cotton", "sleeve", "collar"),
    "garden": ("seeds", "shovel", "hose", "planter", "lawn", "mower", "bench", "soil", "fence", "rake"),
    "home": ("sofa", "lamp", "curtain", "pillow", "carpet", "shelf", "blanket", "mirror", "table", "drawer"),
    "kitchen": ("pan", "kettle", "knife", "mug", "plate", "oven", "toaster", "spoon", "pot", "grill"),
    "phones": ("phone", "charger", "case", "screen", "battery", "cable", "camera", "sim", "headset", "tablet"),
    "shoes": ("shoes", "boots", "sandals", "sneakers", "laces", "sole", "heel", "slippers", "leather", "trainers"),
    "sports": ("ball", "racket", "bike", "helmet", "yoga", "mat", "dumbbell", "tent", "gloves", "rope"),
    "toys": ("puzzle", "doll", "blocks", "robot", "train", "kite", "game", "teddy", "cards", "drum"),
    "watches": ("watch", "clock", "bracelet", "buckle", "quartz", "alarm", "chronograph", "wrist", "dial", "timer"),
}
GENERAL: tuple[str, ...] = (
    "new", "sale", "classic", "premium", "original", "light", "strong", "family", "gift", "daily", "travel", "comfort",
    "quality", "set", "pack", "deluxe", "basic", "modern", "vintage", "summer", "winter", "kids", "pro", "mini",
    "large", "soft", "easy", "smart", "best", "value", "offer", "official", "season", "choice", "extra", "eco",
)  # fmt: skip
