"""Stage 5: DCN + CSCNN from the ad groups, without Spark, Airflow or Feast."""
