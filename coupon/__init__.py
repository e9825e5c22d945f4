"""The coupon service: coupon definitions, the coupons issued to customers, and their use."""
