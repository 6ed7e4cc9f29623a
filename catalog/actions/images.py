"""Pictures of products: one file once per product, known by its content."""

from __future__ import annotations

import hashlib

from django.core.files.base import File

from catalog.models import ProductImage


def hash_image(file: File[bytes]) -> str:
    """Return the SHA-256 of a file's content, read in pieces, and leave the file at its beginning."""
    digest = hashlib.sha256()
    for piece in file.chunks():
        digest.update(piece)
    file.seek(0)
    return digest.hexdigest()


def save_image(*, image: ProductImage) -> ProductImage:
    """Save a picture with the hash of its content. The same file twice breaks the unique key (IntegrityError)."""
    image.content_hash = hash_image(image.image)
    image.save()
    return image
