"""Kafka without Faust: topics, and the way of records onto them."""
