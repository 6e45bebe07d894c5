"""Error codes of S3 servers, and what a person does about them."""

GONE = {"get": {"NoSuchKey"}, "look at": {"404", "NoSuchKey", "NotFound"}, "abort": {"NoSuchUpload"}}
"""Error codes that say that an object is missing, by action. Any server answers 404, so for a put it says nothing of objects.
"""

UNVERSIONED = {"NotImplemented", "MethodNotAllowed", "501", "405"}
"""Error codes of servers without versions of objects."""

PRECONDITION = {"PreconditionFailed", "412"}

KEYS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws, for the user that runs retraind."

RIGHTS = "Grant s3:GetObject, s3:PutObject, s3:ListBucket, s3:DeleteObject, s3:ListBucketVersions, s3:DeleteObjectVersion, s3:ListBucketMultipartUploads and s3:AbortMultipartUpload on this prefix."

CERTIFICATE = "Name the file with the certificate of its authority in AWS_CA_BUNDLE, and the host as in its certificate in storage.endpoint."

HINTS = {
    "404": "Correct storage.endpoint: what answers there is no S3 server.",
    "NoSuchBucket": "Make the bucket, or correct storage.url.",
    "InvalidAccessKeyId": KEYS,
    "SignatureDoesNotMatch": KEYS,
    "ExpiredToken": "Renew the credentials.",
    "AccessDenied": RIGHTS,
    "403": RIGHTS,
    "BadDigest": "The bytes changed in transit; it is tried again.",
}
